"""Numbers that a dtype cannot hold are errors where PyTorch's kernels check them, and wrap around where they do not."""

from __future__ import annotations

import pytest

import rushlight

torch = pytest.importorskip("torch")

DTYPES = ("uint8", "int8", "int32", "int64", "bool", "float16", "bfloat16", "float32", "float64")
VALUES = ("300", "-1", "-300", "1.5", "-1.5", "-0.5", "3e9", "1e5", "1e39", "2**40", "True",
          "255.5", "-129", "128", "float('inf')", "float('-inf')", "1 + 0j", "1j")
FORMS = {
    "full": "torch.full((2,), v, dtype=dt)", "full_like": "torch.full_like(a, v)",
    "new_full": "a.new_full((2,), v)", "fill_": "a.fill_(v)", "fill": "torch.fill(a, v)",
    "masked_fill": "a.masked_fill(m, v)", "masked_fill of a tensor": "a.masked_fill(m, torch.tensor(v))",
    "index_fill": "a.index_fill(0, i, v)",
    "scatter": "a.scatter(0, i, v)", "scalar_tensor": "torch.scalar_tensor(v, dtype=dt)",
    "fill_diagonal_": "a.reshape(3, 1).fill_diagonal_(v)",
    "a[0] = v": "put(0, v)", "a[mask] = v": "put(m, v)", "a[index] = v": "put(i, v)",
    "a[:1] = v": "put(slice(0, 1), v)", "a[mask] = tensor": "put(m, torch.tensor([v]))",
    "index_put of a mask": "a.index_put((m,), torch.tensor(v))",
}
# what is no conversion of a number: another check comes first
ELSEWHERE = {("index_fill", "1j"), ("index_fill", "1 + 0j"), ("fill_", "1j")}


def outcome(lib: object, dtype: str, value: str, form: str) -> object:
    dt = getattr(lib, dtype)
    a = lib.tensor([0, 1, 0]).to(dt)

    def put(index: object, v: object) -> object:
        a[index] = v
        return a
    env = {"torch": lib, "dt": dt, "a": a, "m": lib.tensor([True, False, True]),
           "i": lib.tensor([0, 1]), "v": eval(value), "put": put}
    try:
        return str(eval(FORMS[form], env).tolist())
    except Exception as e:
        return type(e).__name__, str(e).splitlines()[0] if "overflow" in str(e) else ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_conversions(dtype: str, form: str) -> None:
    different = {v: (want, have) for v in VALUES if (form, v) not in ELSEWHERE
                 for want, have in [(outcome(torch, dtype, v, form), outcome(rushlight, dtype, v, form))] if want != have}
    assert not different


@pytest.mark.parametrize("call", ["x.clamp(max=v)", "x.clamp(min=v)", "torch.where(x > 0, x, v)"])
@pytest.mark.parametrize("value", ["300", "-300", "-1", "2**40"])
def test_limits_and_choices(call: str, value: str) -> None:
    results = []
    for lib in (torch, rushlight):
        try:
            results.append(eval(call, {"x": lib.tensor([0, 7, 255],
                                                       dtype=lib.uint8), "v": eval(value), "torch": lib}).tolist())
        except RuntimeError as e:
            results.append(str(e).splitlines()[0])
    assert results[0] == results[1]


NAMED = [
    "x.argmax(axis=1)", "x.sum(axis=0, keepdims=True)", "torch.mean(x, axis=1, keepdims=True)",
    "torch.stack([x, x], axis=1)", "torch.cat([x, x], axis=1)",
    "x.softmax(axis=-1)", "torch.fft.fft(x, axis=0).real",
    "torch.linalg.vector_norm(x, axis=0, keepdims=True)", "x.max(axis=1).values", "x.squeeze(axis=0)",
    "x.unsqueeze(axis=0)", "x.cumsum(axis=1)", "x.std(axis=0, keepdims=True)",
    "x.index_select(axis=0, index=torch.tensor([1]))", "x.sort(axis=0).values",
    "torch.amax(x, axis=(0, 1))", "x.any(axis=0)", "torch.logsumexp(x, axis=0)",
    "x.topk(1, axis=0).values", "torch.nn.functional.cosine_similarity(x, x, dim=0)",
]


@pytest.mark.parametrize("text", NAMED)
def test_names_of_numpy(text: str) -> None:
    want, have = (eval(text, {"torch": lib, "x": lib.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]])})
                  for lib in (torch, rushlight))
    assert tuple(have.shape) == tuple(want.shape)
    assert have.tolist() == pytest.approx(want.tolist()) if want.ndim < 2 else all(
        a == pytest.approx(b) for a, b in zip(have.flatten().tolist(), want.flatten().tolist()))


def test_one_parameter_by_two_names() -> None:
    for lib in (torch, rushlight):
        with pytest.raises(TypeError):
            lib.ones(2).sum(dim=0, axis=0)
    with pytest.raises(TypeError):
        rushlight.ones(2).norm(axis=0)  # PyTorch writes it in Python, which knows no other name


GRADIENTS = ["v.sum()", "v.t().sum()", "(v.t() * 2).sum()", "(v.reshape(-1) * 3).sum()", "v[0].sum()",
             "v[:].mul(2).sum()", "torch.stack([v, v]).sum()", "v.expand(2, 2, 3).sum()",
             "(v + torch.ones(2, 2, 3)).sum()", "v.unsqueeze(0).mul(2).sum()", "v.squeeze().mul(2).sum()",
             "v.repeat(2, 1).sum()", "v.roll(1).sum()", "v.median()", "v.take(i).sum()",
             "torch.zeros(2, 3).index_add(0, i, v).sum()", "torch.zeros(2, 3).masked_scatter(v > 0, v).sum()",
             "(v @ torch.ones(3, 2)).sum()", "v.softmax(0).sum()"]


@pytest.mark.parametrize("text", GRADIENTS)
def test_gradients_are_views_where_those_of_pytorch_are(text: str) -> None:
    found = []
    for lib in (torch, rushlight):
        v = lib.tensor([[-3.0, 2.0, 1.0], [1.0, 0.5, 0.2]], requires_grad=True)
        g = lib.autograd.grad(eval(text, {"v": v, "torch": lib, "i": lib.tensor([0, 1])}), v)[0]
        outcome = [g._is_view(), g.stride(), "written"]
        try:
            g.add_(lib.ones(2, 3).requires_grad_())
        except RuntimeError as e:
            outcome[2] = str(e)[:40]
        found.append(outcome)
    assert found[0] == found[1]


@pytest.mark.parametrize("values", [[1.0, 2.0, 2.0], [float("nan"), 1.0, float("nan")], [3.0]])
@pytest.mark.parametrize("name", ["max", "min", "amax", "amin"])
def test_the_gradient_of_the_largest(name: str, values: list[float]) -> None:
    found = []
    for lib in (torch, rushlight):
        x = lib.tensor(values, requires_grad=True)
        first = lib.autograd.grad(getattr(x, name)(), x)[0]
        y = getattr(x, name)()
        x.data.add_(1)  # nothing equals the result any more
        found.append(str((first.tolist(), lib.autograd.grad(y, x)[0].tolist())))
    assert found[0] == found[1]


def test_a_leaf_that_was_written_after_its_use() -> None:
    for lib in (torch, rushlight):
        x = lib.ones(2, requires_grad=True)
        y = x.exp()
        x.requires_grad_(False)
        x.add_(y)
        with pytest.raises(RuntimeError, match="leaf variable has been moved into the graph interior"):
            x.sum().backward()
