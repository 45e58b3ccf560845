"""How each row of the table runs on a batch of samples: rules from the call on samples to calls on physical tensors.

A rule receives a `Call` and returns the physical results (batch, shape…),
or a batched tensor where it worked on samples.
Rows without a rule of their own take the first that fits: elementwise rows broadcast, rows with a decomposition are
written out, and what remains runs sample by sample (`one_by_one`): correct for every row, slow, and used by no row of
the table today (tests/test_func_vmap.py lists those that need it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.ir.spec import spec
from rushlight.ops.movement import index_shape
from rushlight.ops.table import TABLE, Op
from rushlight.tensor import core
from rushlight.tensor.core import Tensor
from rushlight.tensor.inplace import write_whole

RuleResult = Any
RULES: dict[str, Callable[["Call"], RuleResult]] = {}


class Call:
    """One operation on samples: the row, its signature, operands, attributes, and the level at which to batch."""

    def __init__(self, op: Op, sig: Any, args: tuple[Any, ...], attrs: tuple[Any, ...], level: Any):
        self.op, self.sig, self.args, self.attrs, self.level = op, sig, args, attrs, level
        self.size = level.size

    def is_batched(self, i: int) -> bool:
        """Whether operand i differs between samples."""
        from rushlight.func.batching import at_level
        return isinstance(self.args[i], Tensor) and at_level(self.args[i], self.level)

    def raw(self, i: int) -> Any:
        """Operand i: physical where it is batched, else as it is."""
        from rushlight.func.batching import physical
        return physical(self.args[i], self.level) if self.is_batched(i) else self.args[i]

    def full(self, i: int) -> Any:
        """Operand i with the batch dimension, expanded where it is the same for all samples. Numbers stay."""
        x = self.raw(i)
        return expand(x, (self.size, *x._spec.shape)) if isinstance(x, Tensor) and not self.is_batched(i) else x

    def aligned(self, i: int, rank: int) -> Any:
        """Operand i with its sample dimensions padded to rank on the left, so that it broadcasts."""
        x = self.raw(i)
        if not self.is_batched(i) or len(x._spec.shape) == rank + 1:
            return x
        shape = x._spec.shape
        return reshape(x, (shape[0], *(1,) * (rank + 1 - len(shape)), *shape[1:]))

    def rank(self, i: int) -> int:
        """How many dimensions one sample of operand i has."""
        return len(self.args[i]._spec.shape)

    def attr(self, name: str) -> Any:
        return self.attrs[self.op.attrs.index(name)]

    def replaced(self, **values: Any) -> tuple[Any, ...]:
        """The attributes with some replaced."""
        return tuple(values.get(k, v) for k, v in zip(self.op.attrs, self.attrs))

    def shaped(self, results: Any) -> Any:
        """Physical results in their final shapes."""
        many = results if isinstance(results, list) else [results]
        out = [reshape(r, (self.size, *s.shape)) for r, s in zip(many, self.sig.results)]
        return out if isinstance(results, list) else out[0]


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    from rushlight.tensor.functions.shape import reshape
    return x if x._spec.shape == shape else reshape(x, shape)


def expand(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    from rushlight.tensor.functions.shape import expand
    return x if x._spec.shape == shape else expand(x, shape)


def rule(*names: str) -> Callable[[Any], Any]:
    """Registers a batching rule for rows."""
    def register(f: Any) -> Any:
        RULES.update(dict.fromkeys(names, f))
        return f
    return register


def run(call: Call) -> RuleResult:
    """The operation on physical tensors."""
    return choose(call.op)(call)


def choose(op: Op) -> Callable[[Call], RuleResult]:
    """The rule of a row."""
    found = RULES.get(op.name)
    if found is not None:
        return found
    if op.elementwise:
        return elementwise
    if op.kind == "reduce" and ("dim" in op.attrs or "dims" in op.attrs):
        return along_dims
    return decomposed if op.decompose is not None else one_by_one


# --- by kind ------------------------------------------------------------------------------------------------------
def elementwise(c: Call) -> RuleResult:
    """Operands broadcast from the right, so the batch dimension goes in front of equally many sample dimensions."""
    rank = max(len(s.shape) for s in c.sig.results)
    return core.apply(c.op, tuple([c.aligned(i, rank) if isinstance(a, Tensor) else a for i, a in enumerate(c.args)]),
                      c.attrs)


def moved_dims(c: Call) -> tuple[Any, ...]:
    """The attributes with dimension numbers counted after the batch dimension."""
    new = {}
    for name, value in zip(c.op.attrs, c.attrs):
        if name == "dim":
            new[name] = value + 1
        elif name == "dims":
            new[name] = tuple(d + 1 for d in value)
    return c.replaced(**new)


def along_dims(c: Call) -> RuleResult:
    """Rows that work along dim or dims of one operand or of several of one rank."""
    xs = [c.full(i) for i in range(len(c.args))]
    if all(len(x._spec.shape) == 1 for x in xs if isinstance(x, Tensor)):  # a sample is a number: it gets a dimension
        xs = [reshape(x, (c.size, 1)) if isinstance(x, Tensor) else x for x in xs]
        attrs = c.replaced(dims=(1,), dim=1)
        return c.shaped(core.apply(c.op, tuple(xs), attrs))
    xs = [reshape(x, (c.size, 1)) if isinstance(x, Tensor) and len(x._spec.shape) == 1 else x for x in xs]
    return c.shaped(core.apply(c.op, tuple(xs), moved_dims(c)))


def leading(c: Call) -> RuleResult:
    """Rows that take any leading dimensions: LAPACK on matrices."""
    return core.apply(c.op, tuple(c.full(i) for i in range(len(c.args))), c.attrs)


def decomposed(c: Call) -> RuleResult:
    """The row written with public operations, on the samples themselves."""
    from rushlight.tensor.state import state
    outer, state.level = state.level, c.level
    try:
        outs = c.op.decompose(core.functions(), *c.args, *c.attrs)  # type: ignore[misc]
    finally:
        state.level = outer
    if not isinstance(outs, (tuple, list)):
        outs = (outs,)
    from rushlight.func.batching import at_level, physical
    if len(outs) == 1 and at_level(outs[0], c.level):
        return outs[0]
    return [physical(o, c.level) if at_level(o, c.level) else expand(o, (c.size, *o._spec.shape)) for o in outs]


def one_by_one(c: Call) -> RuleResult:
    """Each sample by itself, then stacked: for rows that nothing else fits."""
    from rushlight.tensor.functions.joining import stack
    xs = [c.full(i) for i in range(len(c.args))]
    rows = [core.apply(c.op, tuple(x[b] if isinstance(x, Tensor) else x for x in xs), c.attrs) for b in range(c.size)]
    if not isinstance(rows[0], list):
        return stack(rows)
    return [stack([r[k] for r in rows]) for k in range(len(rows[0]))]


for _name in ("softmax", "softmax_grad", "log_softmax", "log_softmax_grad", "normalize", "normalize_grad", "fft",
              "ifft", "flip", "gather", "scatter", "scatter_add", "scatter_reduce", "roll"):
    RULES[_name] = along_dims
for _name in ("cholesky", "inv", "det", "slogdet", "qr", "svd", "eigh", "eig", "matrix_exp", "cholesky_ex", "cholesky_inverse", "inv_ex",
              "lu_factor", "lu_order",
              "ldl_factor", "ldl_solve", "pinv"):
    RULES[_name] = leading
RULES["copy"] = elementwise


# --- contractions -------------------------------------------------------------------------------------------------
@rule("matmul")
def matmul(c: Call) -> RuleResult:
    """Batch dimensions broadcast. A batch of matrices times one matrix is one product."""
    x, y = c.raw(0), c.raw(1)
    if c.is_batched(0) and not c.is_batched(1) and c.rank(1) == 2:
        rows = reshape(x, (x._spec.numel // x._spec.shape[-1], x._spec.shape[-1])) if x._spec.numel else x
        if x._spec.numel:
            return c.shaped(core.apply(c.op, (rows, y)))
    rank = max(c.rank(0), c.rank(1))
    return core.apply(c.op, (c.aligned(0, rank), c.aligned(1, rank)))


@rule("solve", "solve_ex", "solve_triangular", "cholesky_solve")
def solve(c: Call) -> RuleResult:
    rank = max(c.rank(0), c.rank(1))
    return core.apply(c.op, (c.aligned(0, rank), c.aligned(1, rank)), c.attrs)


@rule("linear", "linear_no_bias")
def linear(c: Call) -> RuleResult:
    """One product where only the input is batched; else samples of matrices."""
    if not any(c.is_batched(i) for i in range(1, len(c.args))):
        return core.apply(c.op, tuple(c.raw(i) for i in range(len(c.args))))
    x, w = c.full(0), c.raw(1)
    rows = reshape(x, (c.size, -1 if x._spec.numel else 0, x._spec.shape[-1]))
    out = rows @ w.transpose(-2, -1)
    if len(c.args) == 3:
        b = c.raw(2)
        out = out + (b.unsqueeze(1) if c.is_batched(2) else b)
    return c.shaped(out)


def join(x: Tensor, dim: int) -> Tensor:
    """(batch, …) with the batch dimension merged into sample dimension dim, outermost."""
    s = x._spec.shape
    y = x.movedim(0, dim)
    return reshape(y, (*s[1:dim + 1], s[0] * s[dim + 1], *s[dim + 2:]))


def part(x: Tensor, dim: int, size: int) -> Tensor:
    """The inverse of `join`."""
    s = x._spec.shape
    return reshape(x, (*s[:dim], size, s[dim] // size if size else 0, *s[dim + 1:])).movedim(dim, 0)


@rule("convolution")
def convolution(c: Call) -> RuleResult:
    """Images only: more images. Kernels too: the samples are groups of one convolution."""
    if not c.is_batched(1):
        return part(core.apply(c.op, (join(c.full(0), 0), c.raw(1)), c.attrs), 0, c.size)
    attrs = c.replaced(groups=c.attr("groups") * c.size)
    return part(core.apply(c.op, (join(c.full(0), 1), join(c.full(1), 0)), attrs), 1, c.size)


@rule("convolution_input_grad")
def convolution_input_grad(c: Call) -> RuleResult:
    n, channels, *rest = c.attr("shape")
    if not c.is_batched(1):
        attrs = c.replaced(shape=(n * c.size, channels, *rest))
        return part(core.apply(c.op, (join(c.full(0), 0), c.raw(1)), attrs), 0, c.size)
    attrs = c.replaced(shape=(n, channels * c.size, *rest), groups=c.attr("groups") * c.size)
    return part(core.apply(c.op, (join(c.full(0), 1), join(c.full(1), 0)), attrs), 1, c.size)


@rule("convolution_weight_grad")
def convolution_weight_grad(c: Call) -> RuleResult:
    out, *rest = c.attr("shape")
    attrs = c.replaced(shape=(out * c.size, *rest), groups=c.attr("groups") * c.size)
    return part(core.apply(c.op, (join(c.full(0), 1), join(c.full(1), 1)), attrs), 0, c.size)


@rule("max_pool", "avg_pool")
def pool(c: Call) -> RuleResult:
    """More images."""
    result = core.apply(c.op, (join(c.full(0), 0),), c.attrs)
    return [part(r, 0, c.size) for r in result] if isinstance(result, list) else part(result, 0, c.size)


@rule("avg_pool_grad", "max_pool_grad")
def pool_grad(c: Call) -> RuleResult:
    """More images; positions count within each plane."""
    n, *rest = c.attr("shape")
    images = tuple(join(c.full(i), 0) for i in range(len(c.args)))
    return part(core.apply(c.op, images, c.replaced(shape=(n * c.size, *rest))), 0, c.size)


# --- moving -------------------------------------------------------------------------------------------------------
@rule("cat")
def cat(c: Call) -> RuleResult:
    return core.apply(c.op, tuple(c.full(i) for i in range(len(c.args))), (c.attr("dim") + 1,))


@rule("reorder")
def reorder(c: Call) -> RuleResult:
    """The memory order of a sample is not kept."""
    return core.apply(TABLE["copy"], (c.full(0),))


@rule("constant_pad")
def constant_pad(c: Call) -> RuleResult:
    return core.apply(c.op, (c.full(0), c.args[1]), (((0, 0), *c.attr("pads")),))


@rule("unview")
def unview(c: Call) -> RuleResult:
    """Each sample through the same view of its own row."""
    n, v = c.attrs
    rows = spec(v.dtype, (c.size, *v.shape), (n, *v.strides), v.offset)
    return reshape(core.apply(c.op, (c.full(0),), (n * c.size, rows)), (c.size, n))


@rule("write", "write_bytes")
def write(c: Call) -> RuleResult:
    value = c.full(1)
    if not isinstance(value, Tensor):
        value = core.apply(TABLE["full"], (value,), (c.attr("view").shape, c.attr("view").dtype))
    return written(c.full(0), value, c.attr("view"), c.size)


def written(base: Tensor, value: Tensor, v: Any, size: int) -> Tensor:
    """Physical memory (batch, size of a sample) after value was stored through the view v of each sample."""
    from rushlight.func.batching import in_dtype
    d, shape = base._spec.dtype, base._spec.shape
    flat = reshape(in_dtype(base, v), (-1,))
    rows = spec(v.dtype, (size, *v.shape), (flat._spec.numel // size, *v.strides), v.offset)
    return reshape(in_dtype(write_whole(flat, expand(value, rows.shape), rows), spec(d, ())), shape)


# --- by index -----------------------------------------------------------------------------------------------------
def with_samples(c: Call, indices: list[int], rank: int) -> tuple[Any, ...]:
    """The number of each sample, then the index operands, with common dimensions (batch, rank…)."""
    from rushlight.tensor.sequences import arange
    numbers = reshape(arange(c.size), (c.size, *(1,) * rank))
    return (numbers, *[c.aligned(i, rank) for i in indices])


def common_shape(c: Call, indices: list[int]) -> tuple[int, ...]:
    """The shape to which the index operands of a sample broadcast."""
    from rushlight.ir.spec import broadcast
    common: Any = ()
    for i in indices:
        common = broadcast(common, c.args[i]._spec.shape)
    return tuple(common)


def place(dims: tuple[int, ...]) -> int:
    """Where the common dimensions stand in the result of a sample (NumPy's rule)."""
    return dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0


@rule("index")
def index(c: Call) -> RuleResult:
    dims = c.attr("dims")
    indices = list(range(1, len(c.args)))
    common = common_shape(c, indices)
    at, rank = place(dims), len(common)
    if not c.is_batched(0):  # the batch is one more common dimension
        aligned = [c.aligned(i, rank) for i in indices]
        return core.apply(c.op, (c.raw(0), *aligned), (dims,)).movedim(at, 0)
    found = core.apply(c.op, (c.raw(0), *with_samples(c, indices, rank)), ((0, *(d + 1 for d in dims)),))
    return _shift(found, rank, at)


def _shift(x: Tensor, rank: int, at: int) -> Tensor:
    """(batch, common…, kept…) with the common dimensions moved to sample dimension at."""
    return x.movedim(tuple(range(1, rank + 1)), tuple(range(at + 1, at + rank + 1))) if at and rank else x


@rule("index_put")
def index_put(c: Call) -> RuleResult:
    dims, accumulate = c.attrs
    indices = list(range(2, len(c.args)))
    common = common_shape(c, indices)
    at, rank = place(dims), len(common)
    target = index_shape(c.args[0]._spec, *[c.args[i]._spec for i in indices], dims)[0][1]
    value = c.args[1]
    if isinstance(value, Tensor):
        value = expand(c.aligned(1, len(target)), (c.size, *target))
        value = value.movedim(tuple(range(at + 1, at + rank + 1)), tuple(range(1, rank + 1))) if at and rank else value
    numbered = [expand(i, (c.size, *common)) for i in with_samples(c, indices, rank)]
    return core.apply(c.op, (c.full(0), value, *numbered), ((0, *(d + 1 for d in dims)), accumulate))


@rule("embedding")
def embedding(c: Call) -> RuleResult:
    """Rows of one table, or of a table per sample."""
    if not c.is_batched(0):
        return core.apply(c.op, (c.raw(0), c.raw(1)))
    rank = c.rank(1)
    return core.apply(TABLE["index"], (c.raw(0), *with_samples(c, [1], rank)), ((0, 1),))


@rule("embedding_grad")
def embedding_grad(c: Call) -> RuleResult:
    from rushlight.tensor.functions.rules import zeros_of
    y = c.full(0)
    target = zeros_of(spec(y._spec.dtype, (c.size, *c.sig.results[0].shape)), y)
    rank = c.rank(1)
    numbered = [expand(i, (c.size, *c.args[1]._spec.shape)) for i in with_samples(c, [1], rank)]
    return core.apply(TABLE["index_put"], (target, y, *numbered), ((0, 1), True))


@rule("nonzero")
def nonzero(c: Call) -> RuleResult:
    raise RuntimeError("vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow, "
                       "or an operation whose result shape depends on the numbers (nonzero). "
                       "vmap cannot do that; use torch.where with three arguments.")


# --- losses and dropout -------------------------------------------------------------------------------------------
@rule("cross_entropy_rows")
def cross_entropy_rows(c: Call) -> RuleResult:
    """More rows."""
    return c.shaped(core.apply(c.op, (join(c.full(0), 0), join(c.full(1), 0)), c.attrs))


@rule("cross_entropy_rows_grad")
def cross_entropy_rows_grad(c: Call) -> RuleResult:
    return c.shaped(core.apply(c.op, tuple([join(c.full(i), 0) for i in range(3)]), c.attrs))


@rule("dropout")
def dropout(c: Call) -> RuleResult:
    """One mask for all samples, or one for each, as the vmap's randomness says."""
    c.level.check_random()
    x, p, seed = c.full(0), c.args[1], c.args[2]
    if c.level.randomness == "different":
        return core.apply(c.op, (x, p, seed))
    keep = core.apply(TABLE["random_mask"], (p, seed), (c.sig.results[0].shape,))
    kept = core.functions().where(keep, x * (1 / (1 - p) if p < 1 else 0.0), 0)
    return [kept, expand(keep, x._spec.shape)]
