"""The native executor against NumPy: every row of the table, random fused graphs,
layouts of images, sizes around the vectors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from executors import agree, only, same_bits
from ops_samples import sample

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import executor
from rushlight.ops import table
from rushlight.tensor.core import Tensor, apply

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
TABLE = table.load()
SIZES = (0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1000)
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "bool")


def numbers(seed: int, shape: tuple[int, ...], dtype: str, special: bool = False) -> Tensor:
    """Numbers around zero; `special` mixes in NaN, infinities, zeros of both signs and subnormal numbers."""
    r = np.random.default_rng(seed)
    if dtype in INTEGERS:
        low, high = (0, 2) if dtype == "bool" else (0, 100) if dtype == "uint8" else (-50, 50)
        return rl.from_numpy(r.integers(low, high, shape)).to(getattr(rl, dtype))
    x = r.standard_normal(shape) * 2
    if special and x.size:
        flat = x.reshape(-1)
        flat[r.integers(0, flat.size, max(1, flat.size // 4))] = r.choice(
            [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e30], max(1, flat.size // 4))
    return rl.from_numpy(x).to(getattr(rl, dtype))


# --- every row ------------------------------------------------------------------------------------------------------
def rows() -> list[str]:
    """The rows with a sample of real numbers; integer rows have tests below, numbers of Python are no tensors."""
    whole = ("bitwise_", "gcd", "lcm", "scalar_")
    return sorted(n for n, op in TABLE.items() if op.kind != "random"
                  and not n.startswith(whole) and sample(op) is not None)


@pytest.mark.parametrize("name", rows())
def test_every_row(name: str) -> None:
    op = TABLE[name]
    args, attrs = sample(op)
    agree(lambda: apply(op, args, attrs), 100)
    if op.kind != "library" and name != "bitcast":
        agree(lambda: apply(op, tuple(a.to(rl.float32) if isinstance(a, Tensor) and a.dtype is rl.float64
                                      else a for a in args), attrs), 100)


# --- sizes, dtypes, special numbers ---------------------------------------------------------------------------------
UNARY = ("abs", "neg", "exp", "log", "sqrt", "rsqrt", "reciprocal", "tanh", "sigmoid", "sin", "cos", "erf",
         "floor", "ceil", "trunc", "round", "relu", "sign", "isnan", "isinf", "isfinite", "logical_not")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "fmax", "fmin", "eq", "ne", "lt", "le",
          "gt", "ge", "atan2", "copysign", "logical_and", "logical_or", "logical_xor")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [False, True], ids=["ordinary", "special"])
def test_elementwise_floats(dtype: str, special: bool) -> None:
    def every() -> list[Any]:
        found = []
        for at, n in enumerate(SIZES):
            x, y = numbers(at, (n,), dtype, special), numbers(at + 100, (n,), dtype, special)
            found += [getattr(rl, name)(x) for name in UNARY] + [getattr(rl, name)(x, y) for name in BINARY]
            found += [x * 2 + y / 3 - 1, rl.where(x > y, x, y), x.clamp(-1, 1), rl.nan_to_num(x)]
        return found
    agree(every, 2)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_elementwise_integers(dtype: str) -> None:
    def every() -> list[Any]:
        found = []
        for at, n in enumerate(SIZES):
            x, y = numbers(at, (n,), dtype), numbers(at + 100, (n,), dtype)
            found += [x + y, x * y, x == y, x < y, x >= y, rl.maximum(x, y), rl.minimum(x, y),
                      x & y, x | y, x ^ y, rl.logical_and(x, y)]
            if dtype != "bool":
                found += [x - y, x * 3 + 1, x.sum(), x.any(), x.all(), x.amax(0) if n else x.sum(),
                          abs(x) if dtype != "uint8" else x]
        return found
    agree(every)


@pytest.mark.parametrize("source", FLOATS + INTEGERS)
def test_casts(source: str) -> None:
    agree(lambda: [numbers(n, (n,), source).to(getattr(rl, target)) for n in SIZES for target in FLOATS + INTEGERS
                   if not (source in FLOATS and target == "uint8")])


@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions(dtype: str) -> None:
    shapes = [(1,), (17,), (3, 16), (16, 3), (33, 65), (2, 3, 100), (5, 64, 7), (2, 3, 4, 5),
              (1, 40000), (40000, 1), (300, 300), (70, 3000)]

    def every() -> list[Any]:
        found = []
        for at, shape in enumerate(shapes):
            x = numbers(at, shape, dtype)
            for dims in ((0,), (len(shape) - 1,), tuple(range(len(shape))), tuple(range(0, len(shape), 2))):
                found += [x.sum(dims), x.amax(dims), x.amin(dims, True), x.mean(dims),
                          (x * x).sum(dims, True) - x.sum(dims, True)]
            found += [(x > 0).any(), (x > -9).all(0), x[..., :3].prod(-1), x.any(), x.all(0), (x * 0).any(-1)]
        return found
    agree(every, 30)


def test_views_are_read_in_place() -> None:
    def every() -> list[Any]:
        x = numbers(1, (24, 36), "float32")
        flat = numbers(2, (1000,), "float32")
        return ([x.t() * 2, x.t().sum(0), x.t().sum(1), x[3:20, 1::3] + 1, x[:, 5] * x[:, 6],
                 flat[1:].exp(), flat[3:900:7].sum(), x[None, :, :, None].expand(2, 24, 36, 3).sum((0, 3)),
                 (x.t() + x[:1, :24]).softmax(1), x.reshape(2, 12, 36).permute(2, 0, 1).contiguous(),
                 (x[:, :1] * x).sum(0), x.diagonal() * 2, x.unfold(0, 5, 3).sum(-1),
                 rl.ones(3, 1).expand(3, 50) * flat[:50], (x + x[0]).sum(), (x * x[:, :1]).sum((0, 1))])
    agree(every, 20)


@pytest.mark.parametrize("shape", [(4, 10), (64, 10), (3, 5000), (100, 1), (2, 3, 40)])
def test_rows(shape: tuple[int, ...]) -> None:
    def every() -> list[Any]:
        x = numbers(1, shape, "float32").requires_grad_()
        found = []
        for f in (lambda: x.softmax(-1), lambda: x.log_softmax(-1),
                  lambda: F.layer_norm(x, shape[-1:]), lambda: F.gelu(x), lambda: F.silu(x),
                  lambda: F.gelu(x, approximate="tanh"), lambda: x.softmax(0), lambda: F.normalize(x, dim=-1)):
            y = f()
            g, = rl.autograd.grad((y * rl.arange(shape[-1])).sum(), x)
            found += [y, g]
        return found
    agree(every, 50)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("rows", "classes"),
                         [(37, 11), (12, 3), (8, 2), (9, 1), (1, 5), (64, 10), (3, 100), (100, 7), (20, 17)])
def test_cross_entropy(reduction: str, rows: int, classes: int) -> None:
    def every() -> list[Any]:
        x = numbers(1, (rows, classes), "float32").requires_grad_()
        target = rl.arange(rows) % classes
        if rows > 5:
            target[5] = -100
        loss = F.cross_entropy(x * 3, target, reduction=reduction)
        return [loss, *rl.autograd.grad(loss.sum(), x)]
    agree(every, 10)


# --- random graphs --------------------------------------------------------------------------------------------------
class Programs:
    """Draws a random expression over operands of one broadcast shape, with reductions, views and casts in between."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)
        self.shape = tuple(self.r.choice((1, 2, 3, 5, 8, 15, 16, 17, 40)) for _ in range(self.r.randint(1, 4)))
        self.dtype = self.r.choice(("float32",) * 4 + ("float64", "bfloat16", "float16"))
        self.seed = seed

    def operand(self) -> Tensor:
        """The whole shape, a broadcast part of it, or a transposed or strided view."""
        kind, shape = self.r.randrange(5), self.shape
        seed = self.r.randrange(1 << 30)
        if kind == 0:
            return numbers(seed, tuple(n if self.r.random() < 0.6 else 1 for n in shape), self.dtype)
        if kind == 1 and len(shape) > 1:
            return numbers(seed, shape[::-1], self.dtype).permute(*reversed(range(len(shape))))
        if kind == 2:
            return numbers(seed, (*shape[:-1], shape[-1] * 2 + 1), self.dtype)[..., 1::2]
        return numbers(seed, shape, self.dtype)

    def run(self) -> list[Tensor]:
        values = [self.operand() for _ in range(self.r.randint(1, 3))]
        kept = []
        for _ in range(self.r.randint(2, 14)):
            x, y = self.r.choice(values), self.r.choice(values)
            made = self.step(x, y)
            values.append(made)
            if self.r.random() < 0.25:
                kept.append(made)
        return [*kept, values[-1]]

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        kind = self.r.randrange(12)
        if kind < 4:
            return getattr(rl, self.r.choice(("add", "sub", "mul", "maximum", "minimum")))(x, y)
        if kind < 7:
            return getattr(rl, self.r.choice(("tanh", "sigmoid", "sin", "relu", "abs", "neg", "floor")))(x)
        if kind == 7:
            return rl.where(x > y, x, y * 0.5)
        if kind == 8:
            return x * self.r.choice((0.5, 2, -1.25)) + self.r.choice((1, 0.1))
        if kind == 9 and x.ndim:
            dim = self.r.randrange(x.ndim)
            return self.r.choice((rl.Tensor.sum, rl.Tensor.mean, rl.Tensor.amax))(x, dim, keepdim=True).tanh()
        if kind == 10 and x.ndim:
            return x.softmax(self.r.randrange(x.ndim))
        return (x > 0).to(x.dtype) * y


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_random_graphs(part: int) -> None:
    for seed in range(100 * part, 100 * part + 100):
        try:
            agree(lambda seed=seed: Programs(seed).run(), 60)
        except AssertionError as e:
            raise AssertionError(f"random graph {seed}") from e


# --- images ---------------------------------------------------------------------------------------------------------
def images(*, norm: bool, channels: int, pool: Any, residual: bool) -> Any:
    """A small network of convolutions, forward and backward."""
    def every() -> list[Any]:
        x = numbers(1, (3, 3, 13, 11), "float32").requires_grad_()
        ws = [numbers(2, (channels, 3, 3, 3), "float32").requires_grad_(),
              numbers(3, (channels, channels, 3, 3), "float32").requires_grad_()]
        b = numbers(4, (channels,), "float32").requires_grad_()
        y = F.conv2d(x, ws[0], b, padding=1)
        y = F.batch_norm(y, None, None, b, b, True) if norm else y
        y = F.relu(y)
        z = F.conv2d(y, ws[1], None, padding=1)
        z = F.relu(z + y) if residual else z
        z = pool(z)
        out = z.flatten(1).tanh().sum(1)
        return [out, z, *rl.autograd.grad(out.sum(), (x, *ws, b))]
    return every


@pytest.mark.parametrize("channels", [1, 5, 16, 20])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("pool", [lambda z: F.max_pool2d(z, 2), lambda z: F.avg_pool2d(z, 3, 2, 1),
                                  lambda z: z.mean((2, 3))], ids=["max", "avg", "mean"])
def test_chains_of_image_layers(channels: int, norm: bool, pool: Any) -> None:
    agree(images(norm=norm, channels=channels, pool=pool, residual=norm), 300)


@pytest.mark.parametrize(("rank", "options"), [
    (1, dict(padding=2)), (2, dict(stride=2)), (2, dict(groups=2, padding=1)), (2, dict(groups=4)),
    (2, dict(dilation=2, padding=3)), (3, dict(padding=1)), (2, dict(stride=(2, 1), padding=(0, 2)))])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions(rank: int, options: dict[str, Any], transposed: bool) -> None:
    def every() -> list[Any]:
        x = numbers(1, (2, 4, *(9, 8, 7)[:rank]), "float32").requires_grad_()
        groups = options.get("groups", 1)
        w = numbers(2, (4, 8 // groups, *(3, 2, 3)[:rank]) if transposed else (8, 4 // groups, *(3, 2, 3)[:rank]),
                    "float32").requires_grad_()
        y = getattr(F, f"conv{'_transpose' if transposed else ''}{rank}d")(x, w, None, **options)
        return [y, *rl.autograd.grad((y * y).sum(), (x, w))]
    agree(every, 300)


@pytest.mark.parametrize("groups", [1, 2, 8, 16])
@pytest.mark.parametrize("size", [(3, 5), (5, 7), (28, 28)])
def test_group_norm_between_convolutions(groups: int, size: tuple[int, int]) -> None:
    """On images that lie with channels last, with the gradients of all three and those of a penalty on the first."""
    def every() -> list[Any]:
        x = numbers(1, (3, 16, *size), "float32").requires_grad_()
        w, scale, shift = (numbers(i, n, "float32").requires_grad_() for i, n in ((2, (16, 16, 3, 3)), (3, (16,)), (4, (16,))))
        y = F.silu(F.group_norm(F.conv2d(x, w, padding=1), groups, scale, shift))
        z = F.conv2d(y, w, padding=1).pow(2).mean()
        g = rl.autograd.grad(z, (x, w, scale, shift), create_graph=True)
        return [y, *g, *rl.autograd.grad(sum(t.pow(2).sum() for t in g), (x, w, scale, shift))]
    agree(every, 3000)


def test_the_gradients_of_group_norm() -> None:
    rl.manual_seed(0)
    x, w, b = (rl.randn(*n, dtype=rl.float64, requires_grad=True) for n in ((2, 6, 3, 2), (6,), (6,)))
    assert rl.autograd.gradcheck(lambda *t: F.group_norm(t[0], 3, t[1], t[2]), (x, w, b))
    assert rl.autograd.gradgradcheck(lambda *t: F.group_norm(t[0], 2, t[1], t[2]), (x, w, b))


def test_group_norm_far_from_zero() -> None:
    """Its variance is that of differences from the mean, its gradient goes by them: no digits cancel."""
    x = (rl.arange(4 * 8 * 64.0).reshape(4, 8, 8, 8) % 13 + 10_000).requires_grad_()
    w, b = rl.ones(8), rl.zeros(8)
    y = F.group_norm(x, 2, w, b)
    g, = rl.autograd.grad((y * rl.arange(64.0).reshape(8, 8)).sum(), x)
    wide = x.detach().double().requires_grad_()
    exact = F.group_norm(wide, 2, w.double(), b.double())
    g_exact, = rl.autograd.grad((exact * rl.arange(64.0).reshape(8, 8)).sum(), wide)
    np.testing.assert_allclose(y.tolist(), exact.tolist(), atol=2e-3)
    np.testing.assert_allclose(g.tolist(), g_exact.tolist(), atol=2e-2)


# --- memory ---------------------------------------------------------------------------------------------------------
def test_results_may_overwrite_operands_that_die() -> None:
    """A result that takes over an operand's memory must not be written before every reader of that operand has read."""
    def train() -> list[Any]:
        p, m, top = numbers(1, (300,), "float32"), numbers(2, (300,), "float32"), numbers(3, (300,), "float32").abs()
        for step in range(5):
            g = p.sin() * (step + 1)
            m.mul_(0.9).add_(g * g)
            rl.maximum(top, m, out=top)
            p.sub_(m / (top.sqrt() + 1e-3))
            p.sum().item()
        return [p, m, top]
    agree(train, 10)


def test_a_shared_result_is_one_computation() -> None:
    with only("cpu"):
        x = numbers(1, (64, 64), "float32")
        y = x.exp()
        z = x.exp()
        y.add_(1)
        assert rl.equal(y, z + 1)


def test_steady_state_builds_nothing() -> None:
    with only("cpu"):
        model = rl.nn.Linear(64, 8)
        optimizer = rl.optim.Adam(model.parameters())
        x = rl.randn(32, 64)
        built = []
        for _ in range(6):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            built.append(rl.stats()["plans_built"])
        assert built[-1] == built[2]


@pytest.mark.parametrize("shape", [(2, 3), (1,), (1, 1), (40, 70)])
def test_sums_of_sums(shape: tuple[int, ...]) -> None:
    """A reduction of what another reduction gave, repeated along its rows."""
    def run() -> list[Any]:
        y = rl.linspace(0.1, 3.0, int(np.prod(shape))).reshape(shape).exp()
        a = y.sum(-1, keepdim=True)
        return [a.expand(shape).sum(-1), a.expand(shape).amax(-1), a, (a * 2).expand(shape).sum(-1, keepdim=True) + y]
    agree(run)


def test_what_only_one_later_group_reads_is_computed_there() -> None:
    """gelu is one kernel though its backward pass sums, which keeps parts of it apart at first."""
    layer, x = rl.nn.Linear(24, 32), numbers(1, (16, 24), "float32")

    def step() -> list[Tensor]:
        layer.zero_grad()
        y = F.gelu(layer(x))
        (y * y).sum().backward()
        return [y.detach(), layer.weight.grad.clone(), layer.bias.grad.clone()]
    agree(step)
    with only("cpu"), rl.profile() as profile:
        step()
        rl.realize()
    lone = [line for line in str(profile).splitlines() if "map mul [" in line or "map mul mul [" in line]
    assert "erf" in str(profile) and not lone, str(profile)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("width", [1, 2, 7, 8, 15, 16, 17, 33])
def test_each_element_to_two_adjacent_places(dtype: str, width: int) -> None:
    """Of plain memory, of a turned view, of a sum; as the last dimension and around one before it."""
    rng = np.random.default_rng(width)
    x = rl.from_numpy((rng.standard_normal((3, 5, width)) * 3).astype(dtype))

    def run() -> list[Tensor]:
        wide = (x.logical_not() if dtype == "bool" else x + x).unsqueeze(-1).expand(3, 5, width, 2)
        return [x.repeat_interleave(2, -1), x.transpose(0, 2).unsqueeze(-1).expand(-1, -1, -1, 2).clone(), wide.contiguous(),
                x[:, :, None, :, None].expand(3, 5, 2, width, 2).reshape(3, 10, -1)]
    same_bits(run)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("size", [2, 3, 16, 30, 31, 32, 33, 34, 65, 66])
def test_every_second_element(dtype: str, size: int) -> None:
    x = rl.from_numpy((np.random.default_rng(size).standard_normal((4, size)) * 9).astype(dtype))
    same_bits(lambda: [x[:, ::2] * 2, x[:, 1::2] + x[:, :size // 2 * 2:2], x[:, 1::2].clone(), x[1::2, ::2] - 1])


def test_every_second_element_reads_none_beyond_the_last() -> None:
    """What lies behind it may be no memory at all."""
    import mmap
    size = mmap.PAGESIZE
    for odd in (0, 1):
        memory = mmap.mmap(-1, size)
        x = rl.from_numpy(np.frombuffer(memory, np.float32))
        x.fill_(1.0)
        assert (x[odd::2] * 2).sum().item() == size // 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("keepdim", [False, True])
def test_sums_of_two_or_three_neighbours(dtype: str, count: int, keepdim: bool) -> None:
    rng = np.random.default_rng(count)
    for shape in ((5000, count), (17, 301, count), (4, count, 1025)):
        x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 7, shape)).astype(dtype)
        x[0] = -0.0
        t = rl.from_numpy(x).transpose(1, 2) if shape[1] == count and len(shape) == 3 else rl.from_numpy(x)
        same_bits(lambda t=t: [t.sum(-1, keepdim=keepdim), (t * 2).sum(-1, keepdim=keepdim) + 1])


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_reversed_dimensions(dims: tuple[int, ...]) -> None:
    for dtype in ("float32", "int16", "bool"):
        x = rl.from_numpy((np.random.default_rng(0).standard_normal((3, 17, 20)) * 3).astype(dtype))
        same_bits(lambda x=x: [x.flip(dims), x.transpose(0, 1).flip(dims), x[:, ::3].flip(dims).flip(dims)])


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32"])
def test_running_sums_and_products(name: str, dtype: str) -> None:
    """The bits of the sequential order, along every dimension of memory that lies in any way."""
    for shape in ((7,), (1, 5), (5, 1), (6, 33), (3, 4, 40), (2, 3, 5, 70)):
        x = rl.from_numpy(np.random.default_rng(1).standard_normal(shape)).mul(2).to(getattr(rl, dtype))
        for t in (x, x.flip(0), x.transpose(0, -1), x[..., ::2]):
            same_bits(lambda t=t: [getattr(t, name)(d, dtype=t.dtype) for d in range(t.ndim)])
    special = rl.tensor([[-0.0, -0.0, 1.0], [float("inf"), -float("inf"), 2.0], [1e30, 1e30, float("nan")]])
    same_bits(lambda: [getattr(special, name)(0), getattr(special, name)(1)])


def test_float16_is_made_by_way_of_float32() -> None:
    """As PyTorch does it: 1 + 2**-11 + 2**-40 is rounded to the tie, and then to even."""
    x = 1 + 2 ** -11 + 2 ** -40
    wide = rl.tensor([x], dtype=rl.float64)
    same_bits(lambda: [wide.half(), rl.full((3,), x, dtype=rl.float16), rl.zeros(2, dtype=rl.float16).copy_(wide)])
    for made in (wide.half(), rl.tensor([x], dtype=rl.float16), rl.full((1,), x, dtype=rl.float16), rl.zeros(1, dtype=rl.float16).fill_(x)):
        assert made.item() == 1.0
