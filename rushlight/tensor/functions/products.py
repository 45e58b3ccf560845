"""Matrix products and contractions."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from rushlight.ir.dtype import HALF, bool_, float32
from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import as_given, full, reduced
from rushlight.ir.spec import Spec
from rushlight.tensor.core import Tensor, apply, gradient_edge, keeps, owned
from rushlight.tensor.functions.common import cast, fit, give, need_tensor, stand_in, tensor_of
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.older_forms import in_order
from rushlight.tensor.functions.precision import half_of, once, wide
from rushlight.tensor.functions.shape import reshape, squeeze, unsqueeze
from rushlight.tensor.views import ViewFn


@reduced
def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The matrix product; vectors are rows or columns, leading dimensions are batches that broadcast.

    >>> import rushlight as rl
    >>> rl.matmul(rl.ones(2, 3), rl.ones(3))
    tensor([3., 3.])
    """
    if not isinstance(other, Tensor):
        need_tensor("matmul", 2, "other", other)
    m, n = len(input._spec.shape), len(other._spec.shape)
    if m >= 2 and n >= 2:
        if m > 2 and n == 2 and input._spec.contiguous and input._spec.shape[-1] == other._spec.shape[0]:
            # one product over all leading dimensions
            if not input._spec.numel:
                return give(out, apply(TABLE["matmul"], (input, other)))
            flat = apply(TABLE["matmul"], (reshape(input, (-1, input._spec.shape[-1])), other))
            return give(out, owned(reshape(flat, (*input._spec.shape[:-1], other._spec.shape[-1]))))
        result = apply(TABLE["matmul"], (input, other))
        if result._rg and (m > 2 or n > 2):
            keep_copies(result, input, other)
        return give(out, result)
    if m == 0 or n == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {m}D and {n}D")
    if m == 1 and n == 1:
        return give(out, dot(input, other))
    if m == 1:
        if n == 2:
            _inner("mat1 and mat2", (1, *input._spec.shape), other._spec.shape)
        row = unsqueeze(input, 0) if n == 2 else as_matrix(input, 0)
        return give(out, owned(squeeze(apply(TABLE["matmul"], (row, other)), -2)))
    if input._spec.shape[-1] != other._spec.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input._spec.shape[-2]}), "
                           f"mat ({input._spec.shape[-2]}x{input._spec.shape[-1]}), vec ({other._spec.shape[0]})")
    return give(out, owned(squeeze(apply(TABLE["matmul"], (input, as_matrix(other, 1))), -1)))


def keep_copies(result: Tensor, input: Tensor, other: Tensor) -> None:
    """Writing an operand later is no error where PyTorch copies it, since its batches are not evenly spaced."""
    fn: Any = result._grad_fn
    for name, x in (("x", input), ("y", other)):
        kept = fn.saved.get(name) if isinstance(fn.saved, dict) else None
        if kept is not None and x._storage.home is None and copied(
                x._spec, result._spec.shape[:-2], len(input._spec.shape) == 2, len(other._spec.shape) == 2):
            kept.cell, kept.edge = x._storage.cell, gradient_edge(x) if x._rg else None


@lru_cache(4096)
def copied(s: Spec, batch: tuple[int, ...], first: bool, second: bool) -> bool:
    """Whether an operand, expanded to the batches of the result, has no view as one batch of matrices.

    Beside one matrix, the `first` or the `second` operand, it is all columns or all rows that make one matrix.
    """
    n = len(s.shape)
    if n == 2:
        return False
    if first:
        s = s.permute((*range(n - 2), n - 1, n - 2))
    if first or second:
        return s.numel > 0 and s.reshape((s.numel // s.shape[-1], s.shape[-1])) is None
    wide = s.expand((*batch, *s.shape[-2:]))
    return wide is not None and wide.reshape((prod(batch), *s.shape[-2:])) is None


def as_matrix(vector: Tensor, dim: int) -> Tensor:
    """A vector as a row (dim 0) or a column (1); its gradient is a tensor of its own, not a view of a matrix."""
    out = unsqueeze(vector, dim)
    if isinstance(out._grad_fn, ViewFn):
        out._grad_fn.back = (lambda g: owned(squeeze(g, 0))) if dim == 0 else (lambda g: owned(squeeze(g, 1)))
    return out


def _inner(names: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    if a[-1] != b[-2]:
        raise RuntimeError(f"{names} shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]}). "
                           f"The inner sizes {a[1]} and {b[0]} must be equal.")


def _rank(name: str, rank: int, **tensors: Tensor) -> None:
    for what, x in tensors.items():
        if len(x._spec.shape) != rank:
            raise RuntimeError(f"{what} must be a {'matrix' if rank == 2 else f'{rank}D tensor'}"
                               if name in ("mm", "bmm")
                               else f"{name}: Expected {rank}-D argument {what}, but got {len(x._spec.shape)}-D")


@reduced
def mm(input: Tensor, mat2: Tensor, out_dtype: Any = None, *, out: Any = None) -> Tensor:
    """The product of two matrices.

    (n, k) and (k, m) of one dtype to (n, m), in out_dtype if that is given: float32 for half precision, which then is not
    rounded to half. RuntimeError for other shapes.

    >>> import rushlight as rl
    >>> rl.mm(rl.tensor([[1.0, 2.0]]), rl.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    _rank("mm", 2, self=input)
    _rank("mm", 2, mat2=mat2)
    return give(out, apply(TABLE["matmul"], _in(out_dtype, input, mat2)))


def _in(out_dtype: Any, *operands: Tensor) -> tuple[Tensor, ...]:
    """The factors of a product whose result is to have that dtype (their own where None). RuntimeError for others."""
    have = operands[0]._spec.dtype
    if out_dtype is None or out_dtype is have:
        return operands
    if out_dtype is not float32 or have not in HALF:
        raise RuntimeError("out_dtype must be the same as input dtype or fp32 for fp16/bf16 inputs: "
                           f"got {out_dtype} for {have}")
    return tuple([cast(x, out_dtype) for x in operands])


@reduced
def bmm(input: Tensor, mat2: Tensor, out_dtype: Any = None, *, out: Any = None) -> Tensor:
    """The products of two batches of matrices.

    (b, n, k) and (b, k, m) of one dtype to (b, n, m), in out_dtype as `mm` says. RuntimeError for other shapes.

    >>> import rushlight as rl
    >>> rl.bmm(rl.ones(2, 1, 3), rl.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    for name, x in (("batch1", input), ("batch2", mat2)):
        if len(x._spec.shape) != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    a, b = input._spec.shape, mat2._spec.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, "
                           f"{a[2]}] but got: [{b[0]}, {b[1]}]. The shapes are {list(a)} and {list(b)}: "
                           f"the first sizes must be equal, and the inner ones, {a[2]} and {b[1]}.")
    return give(out, apply(TABLE["matmul"], _in(out_dtype, input, mat2)))


@as_given
def mv(input: Tensor, vec: Tensor, *, out: Any = None) -> Tensor:
    """A matrix times a vector."""
    if len(input._spec.shape) != 2 or len(vec._spec.shape) != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {len(vec._spec.shape)}, "
                           f"{len(input._spec.shape)}, {len(vec._spec.shape)}")
    return give(out, matmul(input, vec))


def dot(input: Tensor, tensor: Tensor, *, out: Any = None) -> Tensor:
    """The inner product of two vectors."""
    for x in (input, tensor):
        if len(x._spec.shape) != 1:
            raise RuntimeError("1D tensors expected, "
                               f"but got {len(input._spec.shape)}D and {len(tensor._spec.shape)}D tensors")
    if input._spec.shape != tensor._spec.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{input._spec.shape[0]}] and "
                           f"src [{tensor._spec.shape[0]}] to have the same number of elements, "
                           f"but got {input._spec.shape[0]} and {tensor._spec.shape[0]} elements respectively")
    if input._spec.dtype is not tensor._spec.dtype:
        from rushlight.tensor.functions.common import scalar_name
        raise RuntimeError("dot : expected both vectors to have same dtype, "
                           f"but found {scalar_name(input.dtype)} and {scalar_name(tensor.dtype)}")
    return give(out, owned(reshape(apply(TABLE["matmul"], (as_matrix(input, 0), as_matrix(tensor, 1))), ())))


def vdot(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The inner product with the first vector conjugated."""
    return give(out, dot(input.conj(), other))


def inner(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Sum of products over the last dimension of both."""
    if not input._spec.shape or not other._spec.shape:
        return give(out, input * other)
    if input._spec.shape[-1] != other._spec.shape[-1]:
        raise RuntimeError("inner() the last dimension must match on both input tensors but got shapes "
                           f"{list(input._spec.shape)} and {list(other._spec.shape)}")
    if len(input._spec.shape) == len(other._spec.shape) == 1:
        return give(out, dot(input, other))
    return give(out, tensordot(input, other, ([-1], [-1])))


def outer(input: Tensor, vec2: Tensor, *, out: Any = None) -> Tensor:
    """All products of the elements of two vectors."""
    for name, x in (("self", input), ("vec2", vec2)):
        if len(x._spec.shape) != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {len(x._spec.shape)}-D")
    return give(out, unsqueeze(input, 1) * vec2)


ger = outer


def _mixed(start: Any, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    if product._spec.dtype.kind in "biu":  # integers are scaled by integers
        beta, alpha = fit(beta, product._spec.dtype), fit(alpha, product._spec.dtype)
    if start._spec.expand(product._spec.shape) is None:
        start = start.expand(product._spec.shape)  # raises: the result has the shape of the product
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        if start._rg:  # its gradient is 0, and not missing
            from rushlight.tensor.functions.pointwise import where
            scaled = scaled + where(tensor_of(False, bool_), start, 0)
        return scaled.expand(scaled._spec.shape) if scaled._spec.shape else scaled
    start = start if beta == 1 else start * beta
    return start + scaled if start._spec.contiguous else scaled + start  # the result lies as the product does


@reduced
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, out_dtype: Any = None, *older: Tensor, beta: Any = 1,
          alpha: Any = 1, out: Any = None) -> Tensor:
    """beta * input + alpha * mat1 @ mat2. ``addmm(beta, input, alpha, mat1, mat2)`` is an older form.

    With out_dtype=float32 the product of matrices in half precision is not rounded to half.
    """
    if isinstance(out_dtype, Tensor):
        (input, mat1, mat2), given = in_order("addmm", input, mat1, mat2, out_dtype, *older)
        return addmm(input, mat1, mat2, **given, out=out)  # type: ignore[no-any-return]
    _rank("addmm", 2, mat1=mat1)
    _rank("addmm", 2, mat2=mat2)
    mat1, mat2 = _in(out_dtype, mat1, mat2)
    half = mat1._spec.dtype
    if half in HALF and input._spec.dtype is half is mat2._spec.dtype and half_of(input, mat1, mat2):  # rounded once
        product = apply(TABLE["matmul"], (stand_in(mat1, float32), stand_in(mat2, float32)))
        result = cast(_mixed(wide(input), product, beta, alpha), half)
    else:
        result = _mixed(input, apply(TABLE["matmul"], (mat1, mat2)), beta, alpha)
    return give(out, keeps(result, *[a for a, b in ((mat1, mat2), (mat2, mat1)) if b.requires_grad]))


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *older: Tensor, beta: Any = 1, alpha: Any = 1,
          out: Any = None) -> Tensor:
    """beta * input + alpha * mat @ vec. ``addmv(beta, input, alpha, mat, vec)`` is an older form."""
    if older:
        (input, mat, vec), given = in_order("addmv", input, mat, vec, *older)
        return addmv(input, mat, vec, **given, out=out)  # type: ignore[no-any-return]
    return give(out, once(lambda i, x, y: _mixed(i, mv(x, y), beta, alpha), input, mat, vec))


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *older: Tensor, beta: Any = 1, alpha: Any = 1,
         out: Any = None) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2). ``addr(beta, input, alpha, vec1, vec2)`` is an older form."""
    if older:
        (input, vec1, vec2), given = in_order("addr", input, vec1, vec2, *older)
        return addr(input, vec1, vec2, **given, out=out)  # type: ignore[no-any-return]
    return give(out, _mixed(input, outer(vec1, vec2), beta, alpha))


@reduced
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, out_dtype: Any = None, *older: Tensor, beta: Any = 1,
            alpha: Any = 1, out: Any = None) -> Tensor:
    """beta * input + alpha * batch1 @ batch2. ``baddbmm(beta, input, alpha, batch1, batch2)`` is an older form."""
    if isinstance(out_dtype, Tensor):
        (input, batch1, batch2), given = in_order("baddbmm", input, batch1, batch2, out_dtype, *older)
        return baddbmm(input, batch1, batch2, **given, out=out)
    batch1, batch2 = _in(out_dtype, batch1, batch2)
    return give(out, once(lambda i, x, y: _mixed(i, bmm(x, y), beta, alpha), input, batch1, batch2))


@reduced
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *older: Tensor, beta: Any = 1, alpha: Any = 1,
           out: Any = None) -> Tensor:
    """beta * input + alpha * the sum of the products of two batches.

    ``addbmm(beta, input, alpha, batch1, batch2)`` is an older form.
    """
    if older:
        (input, batch1, batch2), given = in_order("addbmm", input, batch1, batch2, *older)
        return addbmm(input, batch1, batch2, **given, out=out)  # type: ignore[no-any-return]
    return give(out, _mixed(input, bmm(batch1, batch2).sum(0, dtype=batch1._spec.dtype), beta, alpha))


def chain_matmul(*matrices: Tensor, out: Any = None) -> Tensor:
    """The product of several matrices."""
    result = matrices[0]
    for m in matrices[1:]:
        result = matmul(result, m)
    return give(out, result)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    """Sum of products over pairs of dimensions: the last `dims` of a with the first of b, or two lists."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        left, right = list(range(len(a._spec.shape) - dims, len(a._spec.shape))), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    left = [d % len(a._spec.shape) for d in left] if a._spec.shape else []
    right = [d % len(b._spec.shape) for d in right] if b._spec.shape else []
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    if a._spec.dtype is not b._spec.dtype:
        raise RuntimeError(f"both inputs should have same dtype, got {a.dtype} and {b.dtype}")
    for i, j in zip(left, right):
        if a._spec.shape[i] != b._spec.shape[j] and 1 not in (a._spec.shape[i], b._spec.shape[j]):
            raise RuntimeError(f"contracted dimensions need to match, but first has size {a._spec.shape[i]} "
                               f"in dim {i} and second has size {b._spec.shape[j]} in dim {j}")
    for i, j in zip(left, right):  # a contracted dimension of size 1 stands for any size: the other is summed
        if a._spec.shape[i] != b._spec.shape[j]:
            if a._spec.shape[i] == 1:
                b = b.sum(j, keepdim=True, dtype=b._spec.dtype)
            else:
                a = a.sum(i, keepdim=True, dtype=a._spec.dtype)
    free_a = [d for d in range(len(a._spec.shape)) if d not in left]
    free_b = [d for d in range(len(b._spec.shape)) if d not in right]
    shape = [a._spec.shape[d] for d in free_a] + [b._spec.shape[d] for d in free_b]
    k = 1
    for d in left:
        k *= a._spec.shape[d]
    rows, cols = 1, 1
    for d in free_a:
        rows *= a._spec.shape[d]
    for d in free_b:
        cols *= b._spec.shape[d]
    x = reshape(a.permute(free_a + left), (rows, k))
    y = reshape(b.permute(right + free_b), (k, cols))
    product = mm(x, y) if shape else apply(TABLE["matmul"], (x, y))  # one number is computed as given under autocast
    return give(out, reshape(product, shape))


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products in Einstein's notation, contracted pair by pair along the cheapest path.

    RuntimeError for labels and operands that do not fit together.

    >>> import rushlight as rl
    >>> rl.einsum("ij,kj->ik", rl.tensor([[1.0, 2.0]]), rl.tensor([[3.0, 4.0]]))
    tensor([[11.]])
    """
    from rushlight.tensor.functions.einsum import contract, equation_of
    if isinstance(equation, Tensor):
        equation, operands = equation_of((equation, *operands))
    many = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    if not many:
        raise RuntimeError("einsum(): must provide at least one operand")
    return contract(equation, list(many))


def kron(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The Kronecker product."""
    n = max(len(input._spec.shape), len(other._spec.shape))
    a = (1,) * (n - len(input._spec.shape)) + input._spec.shape
    b = (1,) * (n - len(other._spec.shape)) + other._spec.shape
    x = reshape(input, [v for pair in zip(a, (1,) * n) for v in pair])
    y = reshape(other, [v for pair in zip((1,) * n, b) for v in pair])
    return give(out, owned(reshape(x * y, [p * q for p, q in zip(a, b)])))


def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Any = None) -> Tensor:
    """The vector product along a dimension of size 3."""
    if dim is None:
        dim = next((d for d, n in enumerate(input._spec.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    from rushlight.tensor.functions.joining import broadcast_tensors
    from rushlight.tensor.functions.turning import roll
    if input._spec.shape[dim] != 3 or other._spec.shape[dim] != 3:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. "
                           f"Got {input._spec.shape[dim]} and {other._spec.shape[dim]}")
    a, b = broadcast_tensors(input, other)
    return give(out, roll(a, -1, dim) * roll(b, -2, dim) - roll(a, -2, dim) * roll(b, -1, dim))


@full
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if len(input._spec.shape) != 2:
        raise RuntimeError("trace: expected a matrix, but got tensor with dim " + str(len(input._spec.shape)))
    return input.diagonal().sum()


__all__ = ["matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger", "addmm", "addmv", "addr", "baddbmm",
           "addbmm", "chain_matmul",
           "tensordot", "einsum", "kron", "cross", "trace"]
take_numpy_names(globals(), __all__)
