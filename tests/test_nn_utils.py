"""nn.utils: clipping, vectors, packed sequences, norms, parametrizations, calls with other tensors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_oracle import both, both_fail


def trained(lib):
    model = lib.nn.Sequential(lib.nn.Linear(4, 5), lib.nn.Tanh(), lib.nn.Linear(5, 1))
    model(lib.randn(6, 4)).sum().backward()
    return model


@pytest.mark.parametrize("norm_type", [1, 2, 3.5, float("inf")])
@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_clip_grad_norm(norm_type, max_norm):
    def clip(lib):
        model = trained(lib)
        total = lib.nn.utils.clip_grad_norm_(model.parameters(), max_norm, norm_type)
        return total, [p.grad for p in model.parameters()]

    both(clip)


def test_clip_other_forms():
    def clip(lib):
        utils = lib.nn.utils
        model = trained(lib)
        grads = [p.grad for p in model.parameters()]
        total = utils.get_total_norm(grads)
        utils.clip_grads_with_norm_(model.parameters(), 1.0, total)
        first = [g.clone() for g in grads]
        utils.clip_grad_value_(model.parameters(), 0.01)
        single = utils.clip_grad_norm_(model[0].weight, 0.001)
        return total, first, grads, single, utils.clip_grad_norm_([], 1.0)

    both(clip)


def test_clip_nonfinite():
    def clip(lib):
        p = lib.nn.Parameter(lib.zeros(2))
        p.grad = lib.tensor([float("inf"), 1.0])
        lib.nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)

    both_fail(clip)


def test_vectors():
    def convert(lib):
        model = trained(lib)
        vector = lib.nn.utils.parameters_to_vector(model.parameters())
        lib.nn.utils.vector_to_parameters(vector * 2, model.parameters())
        return vector, model.state_dict(), type(model[0].weight).__name__

    both(convert)


lengths_strategy = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(lengths=lengths_strategy, batch_first=st.booleans(), extra=st.integers(0, 2), features=st.integers(1, 3))
def test_packing(lengths, batch_first, extra, features):
    def pack(lib):
        rnn = lib.nn.utils.rnn
        sequences = [lib.randn(n, features) for n in lengths]
        padded = rnn.pad_sequence(sequences, batch_first, padding_value=-1.0)
        packed = rnn.pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False)
        back = rnn.pad_packed_sequence(packed, batch_first, 7.0, max(lengths) + extra)
        return [
            padded,
            packed.data,
            packed.batch_sizes,
            list(back),
            rnn.unpad_sequence(padded.clone(), lib.tensor(lengths), batch_first),
            rnn.unpack_sequence(packed),
            rnn.pad_sequence(sequences, batch_first, padding_side="left"),
        ]

    both(pack)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_recurrence(kind, bidirectional):
    def run(lib):
        model = getattr(lib.nn, kind)(3, 4, 2, bidirectional=bidirectional)
        sequences = [lib.randn(n, 3) for n in (2, 5, 3)]
        packed = lib.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
        out, hidden = model(packed)
        out.data.sum().backward()
        return out.data, out.batch_sizes, hidden, [p.grad for p in model.parameters()]

    both(run)


def test_recurrent_dropout_uses_pytorchs_random_numbers():
    def run(lib):
        model = lib.nn.LSTM(3, 4, 2, dropout=0.5)
        out, _ = model(lib.ones(5, 2, 3))
        return out.shape, lib.rand(1).shape

    both(run)


def test_packing_errors():
    for lengths in ([2, 3], [3], [3, 0], [4, 2]):
        both_fail(
            lambda lib, lengths=lengths: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 2, 1), lengths),
            whole_text=False,
        ) if lengths != [4, 2] else None
    both_fail(lambda lib: lib.nn.utils.rnn.pad_sequence(3))
    packed = lambda lib: lib.nn.utils.rnn.pack_sequence([lib.zeros(3, 1)])
    both_fail(lambda lib: lib.nn.utils.rnn.pad_packed_sequence(packed(lib), total_length=2))


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_hook(dim):
    def use(lib):
        layer = lib.nn.utils.weight_norm(lib.nn.Linear(4, 3), dim=dim)
        out = layer(lib.randn(2, 4))
        out.sum().backward()
        keys = list(layer.state_dict())
        grads = [layer.weight_g.grad, layer.weight_v.grad]
        lib.nn.utils.remove_weight_norm(layer)
        return out, keys, grads, layer.state_dict()

    both(use)


def test_spectral_norm_hook():
    def use(lib):
        layer = lib.nn.utils.spectral_norm(lib.nn.Conv2d(2, 3, 3), n_power_iterations=2)
        out = [layer(lib.randn(1, 2, 4, 4)) for _ in range(3)]
        state = layer.state_dict()
        layer.eval()
        out.append(layer(lib.ones(1, 2, 4, 4)))
        meta = {k: dict(v) for k, v in state._metadata.items()}
        lib.nn.utils.remove_spectral_norm(layer)
        return out, dict(state), meta, layer.state_dict()

    both(use)


@pytest.mark.parametrize("kind", ["Linear(4, 3)", "Conv2d(2, 3, 3)", "ConvTranspose2d(2, 3, 3)"])
@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_norm_parametrizations(norm, kind):
    def use(lib):
        layer = eval(f"nn.{kind}", {"nn": lib.nn})
        getattr(lib.nn.utils.parametrizations, norm)(layer)
        x = lib.randn(2, 4) if "Linear" in kind else lib.randn(1, 2, 5, 5)
        layer(x)
        out = layer(x)
        out.sum().backward()
        grads = [p.grad for p in layer.parameters()]
        state = dict(layer.state_dict())
        lib.nn.utils.parametrize.remove_parametrizations(layer, "weight")
        return out, grads, state, repr(layer), layer.weight

    both(use)


@pytest.mark.parametrize("which", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5)])
@pytest.mark.parametrize("trivialization", [True, False])
def test_orthogonal_parametrization(which, shape, trivialization):
    def use(lib):
        layer = lib.nn.Linear(*shape)
        lib.nn.utils.parametrizations.orthogonal(layer, orthogonal_map=which, use_trivialization=trivialization)
        weight = layer.weight
        weight.sum().backward()
        small = weight if weight.shape[0] >= weight.shape[1] else weight.t()
        eye = small.t() @ small
        square = shape[0] == shape[1]
        return eye, layer.parametrizations.weight.original.grad.shape, weight if square or not trivialization else 0

    both(use)


def test_parametrize_protocol():
    def use(lib):
        parametrize = lib.nn.utils.parametrize

        class Twice(lib.nn.Module):
            def forward(self, x):
                return x * 2

            def right_inverse(self, x):
                return x / 2

        layer = lib.nn.Linear(2, 2)
        parametrize.register_parametrization(layer, "weight", Twice())
        parametrize.register_parametrization(layer, "weight", Twice())
        first = layer.weight
        layer.weight = lib.ones(2, 2)
        with parametrize.cached():
            same = layer.weight is layer.weight
        results = [
            first,
            layer.weight,
            layer.parametrizations.weight.original,
            same,
            repr(layer),
            list(layer.state_dict()),
            parametrize.is_parametrized(layer),
            parametrize.is_parametrized(layer, "bias"),
            parametrize.type_before_parametrizations(layer).__name__,
            type(layer).__name__,
        ]
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        return [*results, layer.weight, type(layer).__name__, type(layer.weight).__name__]

    both(use)


def test_parametrize_errors():
    class_of = lambda lib, f: type("P", (lib.nn.Module,), {"forward": lambda self, x: f(x)})()

    def register(lib, name, f):
        lib.nn.utils.parametrize.register_parametrization(lib.nn.Linear(2, 3), name, class_of(lib, f))

    both_fail(lambda lib: register(lib, "nothing", lambda x: x))
    both_fail(lambda lib: register(lib, "weight", lambda x: x[0]))
    both_fail(lambda lib: register(lib, "weight", lambda x: x.double()))
    both_fail(lambda lib: register(lib, "weight", lambda x: 3))


def test_fusion():
    def fuse(lib):
        nn = lib.nn
        results = []
        for layer, norm, shape in (
            (nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), (4, 2, 5, 5)),
            (nn.Linear(4, 3), nn.BatchNorm1d(3), (6, 4)),
        ):
            x = lib.randn(*shape)
            norm(layer(x))
            layer.eval(), norm.eval()
            is_conv = isinstance(layer, nn.Conv2d)
            fused = (nn.utils.fuse_conv_bn_eval if is_conv else nn.utils.fuse_linear_bn_eval)(layer, norm)
            assert lib.allclose(fused(x), norm(layer(x)), atol=1e-5)
            results += [fused.weight, fused.bias]
        return results

    both(fuse)


def test_functional_call():
    def call(lib):
        model = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.BatchNorm1d(2))
        own = model[0].weight
        given = {"0.weight": lib.ones(2, 2), "0.bias": lib.zeros(2)}
        out = lib.nn.utils.stateless._functional_call(model, given, (lib.ones(3, 2),))
        return out, model[0].weight is own, sorted(given)

    both(call)


def test_functional_call_tied_and_strict():
    def tied(lib, names, **options):
        model = lib.nn.ModuleDict({"a": lib.nn.Linear(2, 2, bias=False)})
        model["b"] = lib.nn.Linear(2, 2, bias=False)
        model["b"].weight = model["a"].weight
        model.forward = lambda x: model["a"](x) + 10 * model["b"](x)
        given = {name: lib.full((2, 2), float(i + 1)) for i, name in enumerate(names)}
        return lib.nn.utils.stateless._functional_call(model, given, lib.ones(1, 2), **options)

    both(lambda lib: tied(lib, ["a.weight"]))
    both(lambda lib: tied(lib, ["a.weight"], tie_weights=False))
    both_fail(lambda lib: tied(lib, ["a.weight", "b.weight"]))
    both_fail(lambda lib: tied(lib, ["c.weight"], strict=True))


def test_consume_prefix():
    def use(lib):
        state = lib.nn.DataParallel(lib.nn.Linear(1, 1)).state_dict()
        lib.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
        return list(state), sorted(state._metadata)

    both(use)
