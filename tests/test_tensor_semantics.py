"""What PyTorch's tensors do beyond numbers: history of writes in place, versions, memory order, views, random fills."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import rushlight

# --- writes in place keep what their gradients need ---------------------------------------------------------------
WRITES = """square_() pow_(3) pow_(2) clamp_(max=1.5) clamp_(0,1) exp_() sin_() mul_(w) log_() abs_() tanh_() sigmoid_()
    div_(w) atan_() add_(w) sqrt_() relu_() reciprocal_() lerp_(w,0.5) erf_() masked_fill_(w>0.5,1) floor_()
    addcmul_(w,w) cumsum_(0) clamp_min_(0.3) hypot_(w) atan2_(w) xlogy_(w) fmod_(2) remainder_(w) tril_() copysign_(w)
    logit_() digamma_() nan_to_num_() cumprod_(0) addcdiv_(w,w)""".split()


def gradients_of_write(lib: Any, call: str, view: bool) -> tuple[Any, Any]:
    x = (lib.arange(9.0).reshape(3, 3) / 10 + 0.05).requires_grad_()
    w = (lib.arange(9.0).reshape(3, 3).flip(0) / 8 + 0.3).requires_grad_()
    base = x * 0.5
    y = base[:, 1:] if view else base
    w_part = w[:, 1:] if view else w
    eval("y." + call, {"y": y, "w": w_part})
    (base * base).sum().backward()
    return x.grad, w.grad


@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("call", WRITES)
def test_writes_in_place_have_gradients(call: str, view: bool) -> None:
    if view and call == "tril_()":
        pytest.skip("the view is no square")
    for ours, theirs in zip(gradients_of_write(rushlight, call, view), gradients_of_write(torch, call, view)):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(torch.tensor(ours.tolist()), theirs, rtol=1e-4, atol=1e-5)


# --- which tensors backward keeps ---------------------------------------------------------------------------------
KEPT = """x.gather(0,i) x.take(i[0]) x.index_select(0,i[0]) x[i[0]] x.masked_select(m) x.sum() x.mean() x.std() x.var()
    x.norm() x.cumsum(0) x.prod() x.amax(0) x.max(0)[0] x.sort()[0] x.topk(1)[0] x.softmax(0) x.logsumexp(0) x.abs()
    x.clamp(min=0) x.relu() x*y x/y x**2 x**y x.exp() x.lerp(y,0.5) x.where(m,y) x.tril() x.roll(1) x.repeat(2,1)
    x.masked_fill(m,1) x.index_add(0,i[0],y[:1]) x.index_copy(0,i[0],y[:1]) x.put(i[0],y[0,:1]) x@y.t() x.nansum()
    x.sigmoid() x.log_softmax(0) x.kthvalue(1)[0] x.cummax(0)[0] x.flip(0) 2/x x.add(y,alpha=2)""".split()


def written_since(lib: Any, call: str, which: str) -> str:
    a, b = (lib.tensor([[0.3, 0.7, 0.2], [0.9, 0.4, 0.6]]).requires_grad_() for _ in range(2))
    x, y, i, m = a * 1.0, b * 1.5, lib.tensor([[0]]), lib.tensor([[True, False, True]] * 2)
    r = eval(call, {"x": x, "y": y, "i": i, "m": m})
    {"x": x, "y": y, "r": r}[which].add_(1.0)
    try:
        r.sum().backward()
    except RuntimeError as e:
        assert "modified by an inplace operation" in str(e)
        return "error"
    return "fine"


@pytest.mark.parametrize("call", KEPT)
def test_writing_what_backward_keeps_is_an_error(call: str) -> None:
    for which in "xyr":
        assert written_since(rushlight, call, which) == written_since(torch, call, which), which


# --- memory order and views ---------------------------------------------------------------------------------------
LAID = """torch.cat([c,c],1) torch.cat([t,t],0) torch.stack([c,c],0) torch.stack([c,c],3) torch.stack([p,p],1)
    c.roll(1,1) c.roll(1,-1) p.roll(1,0) p.flip(0) s.flip(1) c.sort(3)[0] t.sort(0)[0] s.sort(1)[1] t.argsort(0)
    c.tril() p.tril() p[i] p[:,i] p[i,i] c[i] p[i,:,i] s.clone() u.clone() e.clone() p.masked_fill(p>3,1)
    torch.zeros_like(s) torch.rand_like(p) c+c.contiguous() torch.ones(2)+c c*torch.ones(1,3,1,1) torch.where(c>3,c,0)
    c.double() torch.nn.functional.pad(c,(1,1)) torch.nn.functional.pad(p,(1,1)) torch.lerp(p,p,0.5) p.sum(0) c.amax(0)
    t.softmax(0) p@p.mT 2**p c.pow(2) torch.maximum(c,c) c.clamp(0,1) t.cumsum(0) p.nonzero() p.repeat(1,1,1)
    torch.diag_embed(p) p.view(-1,4,2,3,1) p.T.reshape(2,12) t.unflatten(0,(1,-1))""".split()


def laid_out(lib: Any, call: str) -> tuple[Any, ...]:
    operands = {
        "torch": lib,
        "c": lib.arange(48.0).reshape(2, 3, 2, 4).contiguous(memory_format=lib.channels_last),
        "t": lib.arange(6.0).reshape(2, 3).t(),
        "p": lib.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        "s": lib.arange(12.0).reshape(2, 6)[:, ::2].t(),
        "u": lib.arange(4.0).unfold(0, 3, 1),
        "e": lib.arange(3.0)[:, None].expand(3, 2),
        "i": lib.tensor([1, 0]),
    }
    try:
        r = eval(call, operands)
    except RuntimeError as e:
        return (type(e).__name__,)
    strides = tuple(s for s, n in zip(r.stride(), r.shape) if n > 1)
    numbers = [] if "rand" in call else [round(v, 4) for v in r.reshape(-1).tolist()]
    return tuple(r.shape), strides, r._is_view(), numbers


@pytest.mark.parametrize("call", LAID)
def test_results_lie_in_memory_as_pytorch_lays_them(call: str) -> None:
    assert laid_out(rushlight, call) == laid_out(torch, call)


# --- random numbers fill memory -----------------------------------------------------------------------------------
FILLS = """torch.empty(4,5).t().normal_() torch.empty(8,8).t().normal_() torch.empty(40)[::2].normal_()
    torch.empty(4,5).t().uniform_() torch.empty(2,3,4).permute(2,0,1).normal_() torch.empty(4,5)[:,:3].uniform_()
    torch.rand_like(torch.empty(4,5).t()) torch.empty(8,8).normal_() torch.randn_like(torch.empty(8,5).t())
    torch.empty(4,5).t().exponential_() torch.empty(4,5).t().random_(0,100) torch.empty(4,5).t().bernoulli_(0.5)
    torch.randint_like(torch.empty(4,5).t(),100)
    torch.empty(2,3,4,5).contiguous(memory_format=torch.channels_last).normal_()
    torch.nn.init.kaiming_uniform_(torch.empty(2,3,4,5).contiguous(memory_format=torch.channels_last))
    torch.empty(4,5).t().cauchy_()""".split()


@pytest.mark.parametrize("call", FILLS)
def test_random_numbers_fill_memory_in_its_order(call: str) -> None:
    results = []
    for lib in (rushlight, torch):
        lib.manual_seed(1)
        r = eval(call, {"torch": lib})
        results.append((r.stride(), torch.tensor(r.tolist()), lib.rand(1).item()))
    (ours, a, after), (theirs, b, expected) = results
    assert ours == theirs and after == expected
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_without_a_seed_every_process_draws_other_numbers() -> None:
    code = "import rushlight as r; print(r.initial_seed(), r.rand(3).tolist())"
    runs = {subprocess.run([sys.executable, "-c",
                            code], check=True, capture_output=True, text=True).stdout for _ in range(2)}
    assert len(runs) == 2
    assert rushlight.Generator().initial_seed() == torch.Generator().initial_seed()


# --- versions and histories ---------------------------------------------------------------------------------------
def versions(lib: Any) -> list[Any]:
    x = lib.ones(4)
    detached, data, view = x.detach(), x.data, x[:2]
    seen = [x._version]
    for t in (x, detached, data, view, view.data, x.view(lib.int32)):
        t.add_(1)
        seen.append((x._version, detached._version, data._version, view._version))
    y = lib.zeros(2)
    y.data = x[:2]
    y.mul_(3)
    return [*seen, x._version, y._version, x.tolist(), y.tolist()]


def test_versions_count_the_writes_to_shared_memory() -> None:
    assert versions(rushlight) == versions(torch)


def histories(lib: Any) -> list[Any]:
    out: list[Any] = []
    x = lib.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    with lib.no_grad():
        view = x[1:]
    out.append((view.requires_grad, view.is_leaf, view.grad_fn is None))
    (view * 2).sum().backward()  # a view made without recording passes nothing on
    out.append((x.grad is None, view.grad is None))
    y = x * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    out.append((x.grad.tolist(), y.grad.tolist()))  # kept gradients add up, too
    g = x
    for _ in range(3):  # a derivative of a power is a power, even the constant one
        g = lib.autograd.grad((g**2).sum() if g is x else g.sum(), x, create_graph=True)[0]
        out.append((g.tolist(), g.requires_grad))
    z = lib.ones(3)
    w = z.view(3)
    w.mul_(lib.tensor([2.0, 3.0, 4.0], requires_grad=True))
    out.append((z.requires_grad, w.requires_grad, z.is_leaf, w.is_leaf))
    return out


def test_histories_of_views_and_powers() -> None:
    assert histories(rushlight) == histories(torch)


ERRORS = {
    "a flag of a result": lambda t: setattr(t.ones(2, requires_grad=True) * 2, "requires_grad", True),
    "a complex loss": lambda t: t.tensor([1j], requires_grad=True).backward(),
    "a float alpha for bools": lambda t: t.add(t.tensor([True]), t.tensor([True]), alpha=0.5),
    "bools to a negative power": lambda t: t.tensor([True]).pow(-1),
    "abs of complex numbers in place": lambda t: t.tensor([1j]).abs_(),
    "a tensor put into itself": lambda t: (lambda v: v.__setitem__(t.tensor([0, 1, 2]), v))(t.ones(3)),
    "expanded memory as a target": lambda t: t.ones(1).expand(3).__setitem__(slice(None), 2.0),
    "other types through an index": lambda t: t.zeros(3).__setitem__((None, True), t.tensor(1)),
    "a view from no_grad": lambda t: no_grad_view(t).mul_(2),
    "a part of several": lambda t: (t.ones(4, requires_grad=True) * 1).split(2)[0].mul_(2),
    "a number's remainder": lambda t: (2 % t.ones(2, requires_grad=True)).sum().backward(),
    "a batch of vectors for channels": lambda t: t.nn.functional.batch_norm(t.ones(3), t.zeros(3), t.ones(3)),
}


def no_grad_view(lib: Any) -> Any:
    x = lib.ones(4, requires_grad=True) * 2
    with lib.no_grad():
        return x[1:]


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_pytorchs(case: str) -> None:
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[case](rushlight)
    first = str(theirs.value).splitlines()[0].split(". ")[0].split("mode and")[0]
    assert str(ours.value).startswith(first[:60])


def test_batch_norm_of_nothing_leaves_the_running_statistics_alone() -> None:
    states = []
    for lib in (rushlight, torch):
        layer = lib.nn.BatchNorm2d(3)
        x = lib.zeros(0, 3, 4, 4, requires_grad=True)
        layer(x).sum().backward()
        states.append([t.tolist() for t in (layer.running_mean, layer.running_var,
                                            layer.num_batches_tracked, layer.weight.grad, x.grad)])
    assert states[0] == states[1]


def test_padded_steps_of_ctc_have_no_gradient() -> None:
    grads = []
    for lib in (rushlight, torch):
        values = (torch.arange(48.0).reshape(6, 2, 4) / 7).sin().tolist()
        x = lib.tensor(values).log_softmax(2).detach().requires_grad_()
        lengths = lib.tensor([4, 6]), lib.tensor([2, 1])
        lib.nn.functional.ctc_loss(x, lib.tensor([[1, 2], [3, 1]]), *lengths).backward()
        grads.append(torch.tensor(x.grad.tolist()))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-6)
    assert not grads[0][4:, 0].any()


def test_memory_written_through_a_view_of_another_type() -> None:
    seen = []
    for lib in (rushlight, torch):
        x = lib.zeros(4)
        bits = x.view(lib.int32)
        bits[1:] = 1065353216  # 1.0
        bits.view(lib.uint8)[7] = 64
        pairs = lib.zeros(2, dtype=lib.complex64)
        lib.view_as_real(pairs)[:, 1] = 3.0
        pairs.imag.add_(1.0)
        seen.append((x.tolist(), x._version, pairs.tolist(), pairs._version))
    assert seen[0] == seen[1]


def test_the_deviation_of_equal_numbers_has_gradient_zero() -> None:
    for module in (torch, rushlight):
        x = module.tensor([[-1.0, 2.0, 3.0], [-2.0, 2.0, 3.0]], requires_grad=True)
        std, _ = module.std_mean(x, 0)
        (std + x.std(0)).sum().backward()
        assert x.grad.tolist()[0] == pytest.approx([2 ** 0.5, 0.0, 0.0])


@pytest.mark.parametrize("index", [(..., ...), (..., 0, ...), (0, ..., ...), (None, ..., ..., None), (..., ..., slice(0, 1)), (..., [0, 1], ...),
                                   (..., 0, ..., 0), (True, ..., ...), (..., slice(1, 2), None, ...)], ids=str)
def test_several_ellipses_skip_the_same_dimensions_each(index: tuple) -> None:
    found = []
    for lib in (torch, rushlight):
        x = lib.arange(24).reshape(2, 3, 4)
        try:
            y = x[tuple(lib.tensor(i) if isinstance(i, list) else i for i in index)]
            found.append((tuple(y.shape), y.tolist()))
        except IndexError:
            found.append("IndexError")
    assert found[0] == found[1]


@pytest.mark.parametrize("name", [f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)])
@pytest.mark.parametrize("size", ["none", "nones", "none and 3", "3", "too many", "nothing", "0", "2.0", "2.0s", "list", "True"])
def test_sizes_of_adaptive_pools_are_whole_numbers(name: str, size: str) -> None:
    n = int(name[-2])
    sizes = {"none": None, "nones": (None,) * n, "none and 3": (None,) * (n - 1) + (3,), "3": 3, "too many": (3,) * (n + 1), "nothing": (), "0": 0,
             "2.0": 2.0, "2.0s": (2.0,) * n, "list": [3] * n, "True": True}
    found = []
    for lib in (torch, rushlight):
        try:
            found.append(tuple(getattr(lib.nn.functional, name)(lib.ones(1, 2, *[6] * n), sizes[size]).shape))
        except (TypeError, RuntimeError) as e:
            found.append(type(e).__name__)
    assert found[0] == found[1]


@pytest.mark.parametrize(("lengths", "sizes"), [([-1, 3], [1, 1]), ([1, 3], [-1, 1]), ([1, 3], [3, 1]), ([1, 4], [1, 1]), ([3], [1, 1])])
def test_lengths_of_ctc_are_checked(lengths: list[int], sizes: list[int]) -> None:
    told = []
    for lib in (torch, rushlight):
        with pytest.raises(RuntimeError) as error:
            lib.nn.functional.ctc_loss(lib.zeros(3, 2, 4), lib.ones(2, 2, dtype=lib.int64), lib.tensor(lengths), lib.tensor(sizes))
        told.append(str(error.value).split(" (while")[0])
    assert told[1].startswith(told[0].split(",")[0])
