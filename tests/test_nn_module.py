"""Module: registration, hooks, state_dict, conversion, in the words and order of PyTorch."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest
from nn_oracle import both, both_fail

import rushlight


def mlp(lib):
    nn = lib.nn
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)))


def assign_before_init(lib, value):
    class Early(lib.nn.Module):
        def __init__(self):
            self.x = value(lib)

    return Early()


def set_attribute(lib, first, second):
    module = lib.nn.Module()
    module.x = first(lib)
    module.x = second(lib)
    return list(module._parameters), list(module._buffers), list(module._modules), "x" in module.__dict__


def parameter(lib):
    return lib.nn.Parameter(lib.zeros(2))


ERRORS = {
    "parameter before init": lambda lib: assign_before_init(lib, parameter),
    "module before init": lambda lib: assign_before_init(lib, lambda lib: lib.nn.ReLU()),
    "number over parameter": lambda lib: set_attribute(lib, parameter, lambda lib: 3),
    "text over module": lambda lib: set_attribute(lib, lambda lib: lib.nn.ReLU(), lambda lib: "a"),
    "number over buffer": lambda lib: set_attribute(lib, lambda lib: lib.nn.Buffer(lib.zeros(2)), lambda lib: 3),
    "parameter with dot": lambda lib: lib.nn.Module().register_parameter("a.b", None),
    "parameter without name": lambda lib: lib.nn.Module().register_parameter("", None),
    "parameter name no text": lambda lib: lib.nn.Module().register_parameter(3, None),
    "parameter no parameter": lambda lib: lib.nn.Module().register_parameter("a", 3),
    "parameter name taken": lambda lib: lib.nn.Module().register_parameter("forward", None),
    "parameter no leaf": lambda lib: lib.nn.Linear(2, 2).register_parameter("p", lib.nn.Parameter(lib.zeros(2)).mul(2)),
    "buffer name taken": lambda lib: lib.nn.Linear(2, 2).register_buffer("weight", lib.zeros(2)),
    "buffer with dot": lambda lib: lib.nn.Module().register_buffer("a.b", None),
    "buffer no tensor": lambda lib: lib.nn.Module().register_buffer("a", 3),
    "module no module": lambda lib: lib.nn.Module().add_module("a", 3),
    "module with dot": lambda lib: lib.nn.Module().add_module("a.b", None),
    "module without name": lambda lib: lib.nn.Module().add_module("", None),
    "module name taken": lambda lib: lib.nn.Module().add_module("forward", None),
    "no such attribute": lambda lib: lib.nn.Linear(2, 2).nothing,
    "no such submodule": lambda lib: mlp(lib).get_submodule("2.7"),
    "no module on the path": lambda lib: mlp(lib).get_submodule("0.weight"),
    "no such parameter": lambda lib: mlp(lib).get_parameter("0.w"),
    "no parameter": lambda lib: mlp(lib).get_parameter("2.0.in_features"),
    "no buffer": lambda lib: mlp(lib).get_buffer("0.weight"),
    "set without name": lambda lib: mlp(lib).set_submodule("", lib.nn.ReLU()),
    "set no module": lambda lib: mlp(lib).set_submodule("0", 3),
    "set strict": lambda lib: mlp(lib).set_submodule("0.q", lib.nn.ReLU(), strict=True),
    "no forward": lambda lib: lib.nn.Module()(1),
    "unknown keyword": lambda lib: lib.nn.ReLU(a=1),
    "argument of Module": lambda lib: lib.nn.Module(1),
    "keyword of Module": lambda lib: lib.nn.Module(a=1),
    "mode": lambda lib: mlp(lib).train(3),
    "integer dtype": lambda lib: mlp(lib).to(lib.int32),
    "state no dict": lambda lib: mlp(lib).load_state_dict([1]),
    "missing and unexpected": lambda lib: mlp(lib).load_state_dict(
        {"0.weight": lib.zeros(5, 4), "9.weight": lib.zeros(1)}
    ),
    "sizes": lambda lib: lib.nn.Linear(2, 3).load_state_dict({"weight": lib.zeros(3, 3), "bias": lib.zeros(4)}),
    "no tensor in state": lambda lib: lib.nn.Linear(2, 3).load_state_dict({"weight": 3, "bias": lib.zeros(3)}),
    "sequential index": lambda lib: mlp(lib)[7],
    "sequential plus list": lambda lib: mlp(lib) + [1],
    "sequential times text": lambda lib: mlp(lib) * "a",
    "sequential times zero": lambda lib: mlp(lib) * 0,
    "list index": lambda lib: lib.nn.ModuleList([])[0],
    "list extend": lambda lib: lib.nn.ModuleList([]).extend(3),
    "dict update": lambda lib: lib.nn.ModuleDict().update(3),
    "dict pairs": lambda lib: lib.nn.ModuleDict([(1, 2, 3)]),
    "dict key": lambda lib: lib.nn.ModuleDict()["a"],
    "parameter list call": lambda lib: lib.nn.ParameterList()(1),
    "parameter list extend": lambda lib: lib.nn.ParameterList(lib.zeros(2)),
    "parameter dict key": lambda lib: lib.nn.ParameterDict().__setitem__(1, 2),
    "mixed backward hooks": lambda lib: [
        f(lambda *a: None) for m in [lib.nn.ReLU()] for f in (m.register_backward_hook, m.register_full_backward_hook)
    ],
    "lazy shape": lambda lib: lib.nn.LazyLinear(2).weight.shape,
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    both_fail(ERRORS[case])


@pytest.mark.parametrize("first", ["parameter", "module", "buffer", "plain", "none"])
@pytest.mark.parametrize("second", ["parameter", "module", "buffer", "none"])
def test_assignment_moves_names(first, second):
    kinds = {
        "parameter": parameter,
        "module": lambda lib: lib.nn.ReLU(),
        "buffer": lambda lib: lib.nn.Buffer(lib.zeros(2)),
        "plain": lambda lib: 3,
        "none": lambda lib: None,
    }
    both(lambda lib: set_attribute(lib, kinds[first], kinds[second]))


def test_traversal():
    def look(lib):
        model = mlp(lib)
        shared = lib.nn.ModuleList([model[0], model[0], model])
        return [
            [name for name, _ in shared.named_parameters()],
            [name for name, _ in shared.named_parameters(remove_duplicate=False)],
            [name for name, _ in shared.named_parameters(prefix="p", recurse=False)],
            [name for name, _ in shared.named_buffers()],
            [(name, type(m).__name__) for name, m in shared.named_modules()],
            [(name, type(m).__name__) for name, m in shared.named_modules(remove_duplicate=False, prefix="r")],
            [name for name, _ in shared.named_children()],
            len(list(shared.children())),
            len(list(shared.modules())),
            [n for n in dir(model) if n.isdigit()],
        ]

    both(look)


def test_state_dict_options():
    def look(lib):
        model = mlp(lib)
        model.register_buffer("scratch", lib.zeros(2), persistent=False)
        kept = model.state_dict(keep_vars=True)
        mine = model.state_dict(prefix="net.")
        return {
            "keys": list(mine),
            "metadata": dict(mine._metadata),
            "grad": [v.requires_grad for v in kept.values()],
            "shared": mine["net.0.weight"].data_ptr() == model[0].weight.data_ptr(),
        }

    both(look)


def test_loading_options():
    def load(lib):
        model, other = mlp(lib), mlp(lib)
        state = other.state_dict()
        results = [str(model.load_state_dict(state)), model.state_dict()]
        part = OrderedDict((k, v) for k, v in state.items() if k != "0.bias")
        part["new"] = lib.zeros(1)
        results.append(str(model.load_state_dict(part, strict=False)))
        before = model[0].weight
        assigned = mlp(lib)
        assigned.load_state_dict(model.state_dict(), assign=True)
        results += [
            model[0].weight is before,
            assigned[0].weight.requires_grad,
            type(assigned[0].weight).__name__,
            assigned[0].weight.data_ptr() == model[0].weight.data_ptr(),
        ]
        scalar = lib.nn.Module()
        scalar.register_buffer("n", lib.tensor(0.0))
        scalar.load_state_dict({"n": lib.tensor([3.0])})
        return [*results, scalar.n]

    both(load)


def test_extra_state():
    def use(lib):
        class Counted(lib.nn.Module):
            def __init__(self):
                super().__init__()
                self.n = 1

            def get_extra_state(self):
                return {"n": self.n}

            def set_extra_state(self, state):
                self.n = state["n"]

        model = lib.nn.Sequential(Counted(), lib.nn.Linear(1, 1))
        model[0].n = 5
        state = model.state_dict()
        fresh = lib.nn.Sequential(Counted(), lib.nn.Linear(1, 1))
        fresh.load_state_dict(state)
        del state["0._extra_state"]
        return list(state), fresh[0].n, str(fresh.load_state_dict(state, strict=False))

    both(use)


def test_state_hooks():
    def use(lib):
        seen = []
        model = mlp(lib)
        inner = model[2][0]
        model.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append(("pre", prefix, keep)))
        inner.register_state_dict_post_hook(lambda m, state, prefix, meta: seen.append(("post", prefix, len(state))))
        inner._register_state_dict_hook(lambda m, state, prefix, meta: state.update({prefix + "extra": lib.zeros(1)}))
        state = model.state_dict()

        def drop(module, state_dict, prefix, *rest):
            seen.append(("load", type(module).__name__, prefix))
            state_dict.pop(prefix + "extra")

        inner.register_load_state_dict_pre_hook(drop)
        inner._register_load_state_dict_pre_hook(lambda state_dict, prefix, *rest: seen.append(prefix))
        model.register_load_state_dict_post_hook(lambda m, keys: seen.append(str(keys)) or keys.missing_keys.clear())
        del state["0.bias"]
        return seen, str(model.load_state_dict(state)), list(state)

    both(use)


def test_forward_hooks_order_and_kwargs():
    def use(lib):
        seen = []

        class Scale(lib.nn.Module):
            def forward(self, x, factor=1.0):
                seen.append("forward")
                return x * factor

        layer = Scale()
        layer.register_forward_pre_hook(lambda m, args: seen.append("pre 1"))
        layer.register_forward_pre_hook(lambda m, args: (args[0] + 1,), prepend=True)
        layer.register_forward_pre_hook(
            lambda m, args, kwargs: seen.append(sorted(kwargs)) or (args, {"factor": 3.0}), with_kwargs=True
        )
        layer.register_forward_hook(lambda m, args, out: seen.append("after") or out * 2)
        handle = layer.register_forward_hook(
            lambda m, args, kwargs, out: seen.append(("kwargs", kwargs)), with_kwargs=True, prepend=True
        )
        first = layer(lib.ones(2), factor=2.0)
        handle.remove()
        second = layer(lib.ones(2))
        return seen, first, second, len(layer._forward_hooks), len(layer._forward_hooks_with_kwargs)

    both(use)


def test_hooks_that_always_run_and_wrong_pre_hook():
    def use(lib):
        seen = []

        class Broken(lib.nn.Module):
            def forward(self, x):
                raise ValueError("no")

        layer = Broken()
        layer.register_forward_hook(lambda m, args, out: seen.append("not always"))
        layer.register_forward_hook(lambda m, args, out: seen.append(("always", out)), always_call=True)
        with pytest.raises(ValueError, match="no"):
            layer(1)
        layer.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
        with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
            layer(1)
        return seen

    both(use)


def test_global_hooks():
    def use(lib):
        seen = []
        module = lib.nn.modules.module
        handles = [
            module.register_module_forward_pre_hook(lambda m, args: seen.append(("pre", type(m).__name__))),
            module.register_module_forward_hook(lambda m, args, out: seen.append(("post", type(m).__name__))),
            module.register_module_parameter_registration_hook(lambda m, name, p: seen.append(("param", name))),
            module.register_module_buffer_registration_hook(lambda m, name, b: seen.append(("buffer", name))),
            module.register_module_module_registration_hook(lambda m, name, b: seen.append(("module", name))),
        ]
        try:
            mlp(lib)(lib.zeros(2, 4))
        finally:
            for handle in handles:
                handle.remove()
        count = len(seen)
        mlp(lib)(lib.zeros(2, 4))
        return seen, len(seen) == count

    both(use)


def test_full_backward_hooks():
    def use(lib):
        seen = []
        layer = lib.nn.Linear(3, 2)
        layer.register_full_backward_pre_hook(lambda m, grad_out: (grad_out[0] * 2,))
        layer.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append((grad_in, grad_out)))
        layer.register_full_backward_hook(lambda m, grad_in, grad_out: (grad_in[0] * 10,))
        x = lib.randn(4, 3).requires_grad_()
        layer(x).sum().backward()
        first = x.grad.clone()
        layer(lib.ones(1, 3)).sum().backward()
        return first, layer.weight.grad, [[list(map(lambda g: g, a)) for a in pair] for pair in seen]

    both(use)


def test_backward_hook_with_wrong_count():
    def use(lib):
        layer = lib.nn.Linear(3, 2)
        layer.register_full_backward_hook(lambda m, grad_in, grad_out: (None, None))
        layer(lib.ones(1, 3).requires_grad_()).sum().backward()

    both_fail(use, whole_text=False)


@pytest.mark.parametrize("change", ["double", "half", "bfloat16", "float"])
def test_casts(change):
    def use(lib):
        model = mlp(lib)
        weight = model[0].weight
        getattr(model, change)()
        return weight is model[0].weight, [str(v.dtype) for v in model.state_dict().values()]

    both(use)


def test_to_forms_and_grad():
    def use(lib):
        model = mlp(lib)
        model(lib.randn(3, 4)).sum().backward()
        model.to(lib.float64)
        grads = [str(p.grad.dtype) for p in model.parameters()]
        model.to("cpu", lib.float32).to(lib.zeros(1, dtype=lib.float64)).to(device="cpu", dtype=lib.float32)
        model.requires_grad_(False).eval()
        model.zero_grad(set_to_none=False)
        zeros = [float(p.grad.abs().sum()) for p in model.parameters()]
        model.zero_grad()
        return grads, zeros, [p.grad for p in model.parameters()], [m.training for m in model.modules()]

    both(use)


def test_apply_visits_children_first():
    def use(lib):
        seen = []
        mlp(lib).apply(lambda m: seen.append(type(m).__name__))
        return seen

    both(use)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies(way):
    model = rushlight.nn.Sequential(rushlight.nn.LSTM(3, 4), rushlight.nn.BatchNorm1d(4))
    twin = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert repr(twin) == repr(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    for (name, ours), theirs in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert (ours == theirs).all(), name
        assert ours.data_ptr() != theirs.data_ptr(), name
    assert all(p.requires_grad for p in twin.parameters())


def test_parameter_and_buffer():
    def use(lib):
        nn = lib.nn
        p = nn.Parameter(lib.ones(2))
        q = nn.Parameter(p, requires_grad=False)
        twin = copy.deepcopy(p)
        b = nn.Buffer(lib.zeros(2), persistent=False)
        module = nn.Module()
        module.b = b
        return [
            repr(p),
            p.requires_grad,
            q.requires_grad,
            isinstance(p, nn.Parameter),
            isinstance(lib.ones(2), nn.Parameter),
            isinstance(b, nn.Buffer),
            type(twin).__name__,
            twin,
            p.is_leaf,
            type(p * 2).__name__,
            list(module._buffers),
            list(module.state_dict()),
            nn.Parameter().shape == (0,),
        ]

    both(use)


class TestWhereAnErrorArose:
    """The note that names the module."""

    @staticmethod
    def notes_of(model, x):
        with pytest.raises(Exception) as caught:
            model(x)
        return [note for note in getattr(caught.value, "__notes__", []) if note.startswith("raised in model")]

    def test_path_and_sizes(self):
        nn = rushlight.nn
        model = nn.Sequential(OrderedDict(features=nn.Sequential(nn.ReLU(), nn.Linear(784, 10))))
        note = "raised in model.features.1 (Linear(784→10)), where model is Sequential"
        assert self.notes_of(model, rushlight.zeros(2, 3)) == [note]

    def test_through_a_list_that_is_not_called(self):
        nn = rushlight.nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = nn.ModuleList([nn.Conv2d(3, 8, 3)])

            def forward(self, x):
                return self.blocks[0](x)

        note = "raised in model.blocks.0 (Conv2d(3→8)), where model is Net"
        assert self.notes_of(Net(), rushlight.zeros(1, 4, 5, 5)) == [note]

    def test_top_module_alone_and_hooked(self):
        layer = rushlight.nn.Linear(3, 2)
        layer.register_forward_hook(lambda *args: None)
        assert self.notes_of(layer, rushlight.zeros(1, 4)) == ["raised in model (Linear(3→2))"]

    def test_no_note_without_error(self):
        assert rushlight.nn.Linear(3, 2)(rushlight.zeros(1, 3)).shape == (1, 2)
