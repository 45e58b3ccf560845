"""The order of summation (rushlight/exec/order.py): the bits of a plain
formula in both executors, and those of PyTorch.

PyTorch's order is that of its x86-64 build with 32-byte vectors; where the installed one adds up otherwise,
a test against it skips itself by asking PyTorch and the formula, not rushlight.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import rushlight as rl
from rushlight.exec import order
from rushlight.exec.numpy import sums
from rushlight.exec.numpy.kernels import fma
from rushlight.exec.realize import clear_plans

F32, F64 = np.float32, np.float64
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 28, 31, 32, 33, 40, 63, 64, 65, 100, 511, 512, 513, 1000, 4096, 8191)
PRODUCTS = ((8, 6, 4), (6, 8, 4), (4, 4, 8), (2, 16, 16), (3, 5, 20), (8, 6, 8), (16, 12, 11),
            (5, 2, 3), (1, 7, 9), (4, 8, 12), (16, 16, 16))


@pytest.fixture(params=("native", "numpy"))
def executor(request, monkeypatch):
    """Every plan on one executor."""
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy" if request.param == "numpy" else "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    yield request.param
    clear_plans()


def draw(seed: int, *shape: int, dtype=F32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def same(x, y) -> None:
    x, y = np.asarray(x), np.asarray(y)
    assert x.dtype == y.dtype and x.shape == y.shape
    np.testing.assert_array_equal(x, y)


# --- formulas, element by element ------------------------------------------------------------------------------------
def summed(row) -> np.generic:
    """A row's sum, written down number by number."""
    zero, n, width = row.dtype.type(0), len(row), 32 // row.dtype.itemsize
    total = zero
    if n < width:
        for i in ((0, *range(4, n), 1, 2, 3) if n >= 4 else range(n)):
            total = total + row[i]
        return total
    rounds = n // (4 * width)
    levels = [[[zero] * width for _ in range(4)] for _ in range(4)]
    for r in range(rounds):
        for g in range(4):
            for lane in range(width):
                levels[0][g][lane] += row[(r * 4 + g) * width + lane]
        for level in range(1, 4):
            if (r + 1) % 16 ** level:
                break
            for g in range(4):
                for lane in range(width):
                    levels[level][g][lane] += levels[level - 1][g][lane]
                    levels[level - 1][g][lane] = zero
    groups = [[((levels[0][g][i] + levels[1][g][i]) + levels[2][g][i]) + levels[3][g][i] for i in range(width)] for g in range(4)]
    at = rounds * 4 * width
    while at + width <= n:
        for lane in range(width):
            groups[0][lane] += row[at + lane]
        at += width
    for value in row[at:]:
        total = total + value
    for lane in range(width):
        total = total + (((groups[0][lane] + groups[1][lane]) + groups[2][lane]) + groups[3][lane])
    return total


def inner(x, y) -> np.generic:
    """The inner product of vectors, written down number by number."""
    p = list(x * y)
    first, second = [F32(0)] * 8, [F32(0)] * 8
    while len(p) >= 16:
        first, second, p = [a + b for a, b in zip(first, p)], [a + b for a, b in zip(second, p[8:])], p[16:]
    for size in (8, 4):
        if len(p) >= size:
            first, p = [a + b for a, b in zip(first[:size], p)] + first[size:], p[size:]
    for value in p:
        first[0] = first[0] + value
    s = [((first[i] + first[i + 4]) + second[i]) + second[i + 4] for i in range(4)]
    return (s[0] + s[2]) + (s[1] + s[3])


def multiplied(x, y, way: str) -> np.ndarray:
    """A product in one of the orders, written down number by number."""
    out = np.zeros((x.shape[0], y.shape[1]), F32)
    for i, j in np.ndindex(out.shape):
        if way == "chain":
            total = F32(0)
            for a, b in zip(x[i], y[:, j]):
                total = fma(np.array([a]), np.array([b]), np.array([total]))[0]
        else:
            p, lanes = x[i] * y[:, j], 4 if j < out.shape[1] // 4 * 4 else 8
            whole = len(p) // lanes * lanes if way == "lanes" else 0
            s = [F32(0)] * lanes
            for k in range(whole):
                s[k % lanes] = s[k % lanes] + p[k]
            if lanes == 8:
                s = [a + b for a, b in zip(s, s[4:])]
            total = (s[0] + s[2]) + (s[1] + s[3])
            for value in p[whole:]:
                total = total + value
        out[i, j] = total
    return out


# --- rushlight and the formulas ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", (F32, F64))
def test_sums_of_rows(executor, dtype):
    for n in LENGTHS:
        x = draw(n, 3, n, dtype=dtype)
        expected = np.array([summed(row) for row in x])
        same(rl.tensor(x).sum(1).numpy(), expected)
        same(rl.tensor(x[0]).sum().numpy(), expected[0])
        same(rl.tensor(x).mean(1, keepdim=True).numpy(), (expected / dtype(n))[:, None])


def test_sums_of_long_rows_carry_through_all_levels():
    x = draw(0, 2, 16 * 16 * 16 * 32 + 16 * 32 + 77)
    same(sums.total(x), [summed(row) for row in x])


def test_sums_do_not_depend_on_what_is_beside_them(executor):
    x, y = draw(1, 5, 37), draw(2, 5, 37)
    a, b = rl.tensor(x), rl.tensor(y)
    values = [a.sum(1), (a * b + 1).sum(1), (a * b + 1).amax(1),
              (a - a.mean(1, keepdim=True)).sum(1), a.double().sum(1)]
    same(values[0].numpy(), [summed(row) for row in x])
    same(values[1].numpy(), [summed(row) for row in x * y + F32(1)])
    same(values[3].numpy(), [summed(row - summed(row) / F32(37)) for row in x])
    same(values[4].numpy(), [summed(row) for row in x.astype(F64)])


def test_inner_products(executor):
    for n in LENGTHS:
        x, y = draw(n, n), draw(n + 1, n)
        same(rl.tensor(x).dot(rl.tensor(y)).numpy(), inner(x, y))


@pytest.mark.parametrize("m, k, n", PRODUCTS)
@pytest.mark.parametrize("turned", ("neither", "first", "second", "both"))
def test_small_products(executor, m, k, n, turned):
    x, y = draw(m, m, k), draw(n, k, n)
    a = rl.tensor(np.ascontiguousarray(x.T)).t() if turned in ("first", "both") else rl.tensor(x)
    b = rl.tensor(np.ascontiguousarray(y.T)).t() if turned in ("second", "both") else rl.tensor(y)
    way = order.product(m, n, k, a.stride(), b.stride())
    if way == "chain" and (executor == "numpy" or 1 in (m, n)):
        # a BLAS, or sums in lanes
        np.testing.assert_allclose((a @ b).numpy(), multiplied(x, y, way), rtol=1e-5, atol=1e-6)
    else:
        same((a @ b).numpy(), multiplied(x, y, way))


def test_the_rule_of_products():
    assert order.product(8, 4, 6, (6, 1), (4, 1)) == "apart"
    assert order.product(8, 4, 8, (8, 1), (1, 8)) == "lanes"
    assert order.product(8, 12, 8, (8, 1), (12, 1)) == "chain"
    assert order.product(1, 1, 50, (50, 1), (1, 1)) == "dot"
    assert order.product(1 << 10, 8, 8, (8, 1), (8, 1)) == "chain"


def test_no_number_of_threads_changes_a_bit():
    x, y, w = draw(0, 130, 4000), draw(1, 300), draw(2, 40, 8)
    before, found = rl.get_num_threads(), []
    try:
        for count in (1, 2, 3, 8):
            rl.set_num_threads(count)
            clear_plans()
            a = rl.tensor(x)
            values = (a.sum(1), a.sum(), a.mean(0), rl.tensor(y).dot(rl.tensor(y)),
                      rl.tensor(w) @ rl.tensor(w).t(), rl.tensor(w).t() @ rl.tensor(w))
            found.append([v.numpy() for v in values])
    finally:
        rl.set_num_threads(before)
        clear_plans()
    for values in found[1:]:
        for value, first in zip(values, found[0]):
            same(value, first)


# --- one rounding -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", (F32, F64))
def test_fused_multiply_adds_round_once(executor, dtype):
    x, y = draw(3, 400, dtype=dtype), draw(4, 400, dtype=dtype)
    z = -(x * y) * dtype(1 + 2.0 ** -12)  # so that most of the product cancels
    exact = [Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)) for a, b, c in zip(x, y, z)]
    expected = np.array([nearest(value, dtype) for value in exact], dtype)
    from rushlight.tensor.functions.rules import fma as function
    same(function(*map(rl.tensor, (x, y, z))).numpy(), expected)
    same(fma(x, y, z), expected)


def nearest(value: Fraction, dtype) -> float:
    """A fraction rounded to nearest, ties to even."""
    start = dtype(float(value))
    around = (np.nextafter(start, dtype(-np.inf)), start, np.nextafter(start, dtype(np.inf)))
    return min(around, key=lambda v: (abs(Fraction(float(v)) - value), int(np.array(v).view(f"i{v.itemsize}")) & 1))


def test_halfway_sums_round_by_what_is_beyond_float64():
    one, tiny = np.array([1], F32), np.array([2.0 ** -80], F32)
    same(fma(tiny, one, np.array([1 + 2.0 ** -23], F32)), np.array([1 + 2.0 ** -23], F32))
    half = np.array([1 + 2.0 ** -12], F32)  # its square is 1 + 2^-11 + 2^-24: halfway
    for sign, expected in ((1, 1 + 2.0 ** -11 + 2.0 ** -23), (-1, 1 + 2.0 ** -11)):
        same(fma(half, half, np.array([sign * 2.0 ** -90], F32)), np.array([expected], F32))


def test_tanh_is_rounded_correctly(executor):
    x = np.stack([draw(5, order.FEW) * F32(scale) for scale in (1e-3, 0.1, 1, 4)])
    exact = np.tanh(x.astype(F64)).astype(F32)
    y = np.stack([rl.tensor(row).tanh().numpy() for row in x])
    assert np.count_nonzero(y != exact) <= 1
    np.testing.assert_array_max_ulp(rl.tensor(x).tanh().numpy(), exact, 2)  # many at once
    special = np.array([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 9.1, 3e38], F32)
    y = rl.tensor(special).tanh().numpy()
    same(y, np.tanh(special.astype(F64)).astype(F32))
    assert np.signbit(y[1]) and np.isnan(rl.tensor(np.nan).tanh().item())


# --- PyTorch ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def torch():
    """PyTorch, where it adds up in the order that is written down."""
    torch = pytest.importorskip("torch")
    x, y, w = draw(0, 1000), draw(1, 1000), draw(2, 6, 4)
    kept = (torch.tensor(x).sum().item() == summed(x), torch.tensor(x).dot(torch.tensor(y)).item() == inner(x, y),
            np.array_equal((torch.tensor(x[:48].reshape(8, 6)) @ torch.tensor(w)).numpy(),
                           multiplied(x[:48].reshape(8, 6), w, "apart")))
    if not all(kept):
        pytest.skip(f"this PyTorch adds up in another order (sum, dot, product: {kept})")
    return torch


CALLS = {
    "product": lambda m, x, y, g: x @ y,
    "product of a transposed matrix": lambda m, x, y, g: x.t() @ g,
    "linear": lambda m, x, y, g: m.nn.functional.linear(x[:, :4].contiguous(), y[:4].t().contiguous(), g[0]),
    "sum": lambda m, x, y, g: x.abs().sum(), "sum of rows": lambda m, x, y, g: (x * 2 - 1).sum(1),
    "mean": lambda m, x, y, g: g.pow(2).mean(),
    "sum of columns": lambda m, x, y, g: g.sum(0), "dot": lambda m, x, y, g: x.reshape(-1).dot(x.flip(0).reshape(-1)),
    "add": lambda m, x, y, g: x.add(x.flip(1), alpha=0.3371237),
    "sub": lambda m, x, y, g: x.sub(x.flip(1), alpha=0.3371237),
    "add in place": lambda m, x, y, g: x.clone().add_(x.flip(1), alpha=0.3371237),
    "add a view": lambda m, x, y, g: y.add(y.t().reshape(-1).view(y.shape), alpha=m.tensor(0.3371237)),
    "explicit product and sum": lambda m, x, y, g: x + 0.3371237 * x.flip(1), "reciprocal": lambda m, x, y, g: 3.7 / x,
    "pow": lambda m, x, y, g: (x - 0.5).pow(2), "largest": lambda m, x, y, g: x.abs().max(),
    "cat": lambda m, x, y, g: m.cat([x.reshape(-1), g.reshape(-1)]),
}


@pytest.mark.parametrize("name", CALLS)
def test_operations_give_pytorchs_bits(executor, torch, name):
    for seed, (m, k, n) in enumerate(((8, 6, 4), (4, 8, 8), (16, 4, 4), (8, 8, 8), (2, 4, 4))):
        arrays = draw(seed, m, k), draw(seed + 50, k, n), draw(seed + 99, m, n)
        ours, theirs = (CALLS[name](lib, *(lib.tensor(a) for a in arrays)).numpy() for lib in (rl, torch))
        same(ours, theirs)


def gradients(lib, loss, *arrays):
    """The gradients of a loss by its arguments."""
    xs = [lib.tensor(a).requires_grad_() for a in arrays]
    loss(*xs).backward()
    return [x.grad.numpy() for x in xs]


@pytest.mark.parametrize("loss", (lambda x, y: (x @ y).pow(2).mean(),
                                  lambda x, y: ((x @ y + y[0]) * 0.5 - 1).abs().sum(),
                                  lambda x, y: x.add(x * y[0, 0], alpha=0.3).sum()))
def test_gradients_give_pytorchs_bits(executor, torch, loss):
    x, y = draw(1, 8, 6), draw(2, 6, 4)
    for ours, theirs in zip(gradients(rl, loss, x, y), gradients(torch, loss, x, y)):
        same(ours, theirs)


def test_the_gradient_of_tanh_is_rounded_once(executor, torch):
    """Where the values of tanh are equal; PyTorch's own misses the nearest number once in about a thousand."""
    x, g = draw(3, 500), draw(4, 500)
    found = []
    for lib in (rl, torch):
        a = lib.tensor(x).requires_grad_()
        y = a.tanh()
        y.backward(lib.tensor(g))
        found.append((y.detach().numpy(), a.grad.numpy()))
    equal = found[0][0] == found[1][0]
    assert np.count_nonzero(~equal) <= 5
    same(found[0][1][equal], found[1][1][equal])


def trajectory(lib, loss, **options):
    """The losses of all evaluations of L-BFGS, and the parameters in the end."""
    rng = np.random.default_rng(0)
    w, b = (lib.nn.Parameter(lib.tensor(rng.standard_normal(s).astype(F32))) for s in ((6, 4), 4))
    x = lib.tensor(rng.standard_normal((8, 6)).astype(F32))
    optimizer = lib.optim.LBFGS([w, b], **options)
    losses = []

    def closure():
        optimizer.zero_grad()
        value = loss(x @ w + b)
        value.backward()
        losses.append(value.item())
        return value
    for _ in range(4):
        optimizer.step(closure)
    return np.array(losses), w.detach().numpy(), b.detach().numpy()


@pytest.mark.parametrize("loss, options", ((lambda y: (y.pow(2) - 0.5).pow(2).mean(), {"lr": 0.01}),
                                           (lambda y: (y.pow(2) - 0.5).pow(2).mean(), {"lr": 0.3}),
                                           (lambda y: (y.tanh() - 0.5).pow(2).mean(), {})),
                         ids=("quartic", "quartic, long steps", "tanh"))
def test_trajectories_of_lbfgs_are_pytorchs_to_the_last_bit(executor, torch, loss, options):
    """L-BFGS is chaotic: a single other bit in a hundred evaluations would show."""
    for ours, theirs in zip(trajectory(rl, loss, **options), trajectory(torch, loss, **options)):
        same(ours, theirs)
