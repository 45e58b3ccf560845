"""torch.ops: operators by qualified name give PyTorch's names, errors and values."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

CALLS = """
upsample_bilinear2d.vec(X[None, None], [4, 6], True, None)|upsample_nearest2d.vec(X[None, None], None, [2., 2.])
add.Tensor(X, Y, alpha=2)|add(X, 1)|add.Scalar(X, 2, 3)|sub.Tensor(X, Y)|mul.Tensor(X, Y)|mul.Scalar(X, 3)|div.Tensor(X, Y)|div.Tensor_mode(X, Y, rounding_mode='floor')
mm.default(X, X.t())|mm(self=X, mat2=X.t())|bmm.default(X[None], X.t()[None])|addmm.default(X[:, :2], X, X.t()[:, :2])|matmul(X, X.t())|dot(X[0], Y[0])|t.default(X)
sum.default(X)|sum.dim_IntList(X, [0], True)|mean.dim(X, [1])|amax.default(X, [0])|max.dim(X, 1)|argmax(X, 1)|var.correction(X, [0], correction=0)|cumsum.default(X, 0)
relu.default(X)|gelu.default(X)|gelu.default(X, approximate='tanh')|silu(X)|sigmoid.default(X)|tanh.default(X)|exp.default(X)|leaky_relu(X, 0.2)|elu.default(X, 2., 3., 0.5)
hardtanh(X, -0.5, 0.5)|softplus(X)|_softmax.default(X, 1, False)|_log_softmax.default(X, 0, False)|log_softmax.int(X, 1)|softmax.int(X, 0)|threshold_backward(X, Y, 0)
view.default(X, [3, 2])|reshape(X, [-1])|permute.default(X, [1, 0])|transpose.int(X, 0, 1)|expand.default(X[:1], [4, 3])|unsqueeze.default(X, 0)|squeeze.dim(X[:1], 0)
slice.Tensor(X, 1, 0, 2)|slice.Tensor(X, 0, 1, 9223372036854775807)|select.int(X, 0, 1)|cat.default([X, Y], 1)|stack.default([X, Y])|split.Tensor(X, 1)|chunk(X, 2)
index.Tensor(X, [None, I])|index_select.default(X, 1, I)|gather.default(X, 1, I[None])|embedding.default(X, I[:1])|index_put.default(X, [I[:1]], Y[:1])
where.self(X > 0, X, Y)|masked_fill.Scalar(X, X > 0, 0)|clone.default(X)|detach(X)|alias(X)|_unsafe_view(X, [6])|_to_copy.default(X, dtype=F64)|full.default([2], 3)
full_like.default(X, 2)|zeros_like(X)|ones.default([2])|arange.start_step(0, 6, 2)|arange.default(3)|native_layer_norm.default(X, [3], None, None, 1e-5)
layer_norm(X, [3])|mse_loss.default(X, Y)|mse_loss.default(X, Y, 2)|l1_loss(X, Y, 0)|smooth_l1_loss(X, Y, 1, 0.5)|nll_loss(X, I[:2], None, 1, -100)|cross_entropy_loss(X, I[:2])
convolution.default(X[None], X[:, :2][:, None], None, [1], [0], [1], False, [0], 2)|max_pool2d_with_indices.default(X[None], [1, 2])|avg_pool2d(X[None], [1, 2])
linear.default(X, Y)|dropout(X, 0.5, False)|native_dropout(X, 0.5, False)|pow.Tensor_Scalar(X, 2)|eq.Scalar(X, 0)|logical_not(X)|neg(X)|rsub.Scalar(X, 1)|clamp(X, -1, 1)
constant_pad_nd.default(X, [1, 1], 2.)|repeat.default(X, [2, 1])|flip(X, [0])|linalg_vector_norm.default(X)|special_erf(X)|fft_rfft(X).real|upsample_nearest2d.vec(X[None, None], [4, 6], None)
add_.Tensor(X.clone(), Y)|copy(X, Y)|copy_.default(X.clone(), Y)|fill_.Scalar(X.clone(), 2)|topk.default(X, 2)|sort.default(X)|tril(X)|baddbmm(X[None, :, :2], X[None], X.t()[None][:, :, :2])
""".replace("\n", "|").strip("|").split("|")


def space(lib: object) -> dict[str, object]:
    x, y = (np.random.default_rng(k).standard_normal((2, 3)).astype(np.float32) for k in (0, 1))
    return {"aten": lib.ops.aten, "X": lib.tensor(x), "Y": lib.tensor(y),
            "I": lib.tensor([1, 2, 0]), "F64": lib.float64}


def numbers(out: object) -> list[object]:
    return ([n for o in out for n in numbers(o)] if isinstance(out, (tuple, list)) else
            [str(out.dtype), tuple(out.shape), np.array(out.tolist())])


@pytest.mark.parametrize("call", CALLS)
def test_calls_by_qualified_name(call: str) -> None:
    want, have = (numbers(eval("aten." + call, space(lib))) for lib in (torch, rushlight))
    assert len(want) == len(have)
    for a, b in zip(want, have):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
        else:
            assert a == b


@pytest.mark.parametrize("text", [
    "repr(aten)", "str(aten.add)", "repr(aten.add.Tensor)", "str(aten.mm.default)",
    "aten.add.Tensor.name()", "aten.mm.default.name()", "aten.add.__name__",
    "aten.add.Tensor.__name__", "aten.add._qualified_op_name",
    "aten.add.Tensor.namespace", "aten.add.Tensor.overloadpacket is aten.add",
    "aten.mm.overloads()", "aten.add.Tensor == aten.add.Tensor", "aten.add.Tensor == aten.add.Scalar",
    "aten.add.Tensor._overloadname", "aten.sum._qualified_op_name",
    "{aten.add.Tensor: 1}[aten.add.Tensor]", "hasattr(aten, 'no_such_operator')", "hasattr(aten.add, 'NoSuch')",
])
def test_names(text: str) -> None:
    assert eval(text, space(torch)) == eval(text, space(rushlight))


@pytest.mark.parametrize("text", ["aten.no_such_operator", "aten.add.NoSuch", "aten.mm.Tensor"])
def test_unknown_names(text: str) -> None:
    with pytest.raises(AttributeError) as want:
        eval(text, space(torch))
    with pytest.raises(AttributeError) as have:
        eval(text, space(rushlight))
    assert str(have.value).startswith(str(want.value))


def test_every_overload_of_the_table_is_one_of_pytorch() -> None:
    from rushlight.aten_overloads import OVERLOADS
    theirs: dict[str, set[str]] = {}
    for s in torch._C._jit_get_all_schemas():
        theirs.setdefault(s.name, set()).add(s.overload_name or "default")
    assert not {n: o for n, o in OVERLOADS.items() if not set(o) <= theirs.get("aten::" + n, set())}
    assert not [n for n in OVERLOADS if not callable(getattr(rushlight.ops.aten, n))]


def test_copies_and_pickles_are_the_operator_itself() -> None:
    op = rushlight.ops.aten.add.Tensor
    assert copy.deepcopy({"op": op})["op"] is op
    assert pickle.loads(pickle.dumps(op)) is op
    assert pickle.loads(pickle.dumps(rushlight.ops.aten.mm)) is rushlight.ops.aten.mm


def test_operators_of_a_program() -> None:
    twice = rushlight.library.custom_op("of_this_test::twice", mutates_args=())(lambda x: x * 2)
    assert rushlight.ops.of_this_test.twice.default(rushlight.ones(1)).item() == 2 == twice(rushlight.ones(1)).item()
    with pytest.raises(AttributeError, match="no operators in the namespace"):
        rushlight.ops.nobody


def test_a_pattern_table_of_a_graph_pass() -> None:
    aten = rushlight.ops.aten
    table = {aten.add.Tensor: aten.sub.Tensor}
    graph = rushlight.fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    graph.output(graph.call_function(aten.add.Tensor, (x, y)))
    module = rushlight.fx.GraphModule(rushlight.nn.Module(), graph)
    assert module(rushlight.ones(1), rushlight.ones(1)).item() == 2
    for node in module.graph.nodes:
        node.target = table.get(node.target, node.target)
    module.recompile()
    assert module(rushlight.ones(1), rushlight.ones(1)).item() == 0
