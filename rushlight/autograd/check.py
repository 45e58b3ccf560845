"""Gradients against finite differences: `gradcheck` and `gradgradcheck`.

Complex numbers are two real coordinates here. PyTorch's gradient of a real loss L is dL/dRe + i dL/dIm, so every check
is one of real Jacobians: rows are real coordinates of outputs, columns real coordinates of inputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NO_INPUT = ("gradcheck expects at least one input tensor to require gradient, "
            "but none of the them have requires_grad=True.")
FAST_NOTE = ("Fast gradcheck failed but element-wise differences are small. This means that the test "
             "might've passed in slow_mode!\nIf you want to keep the check, pass fast_mode=False.\n")


class GradcheckError(RuntimeError):
    """A gradient does not agree with finite differences."""


# --- real coordinates ---------------------------------------------------------------------------------------------
def coordinates(array: Array) -> Array:
    """The real coordinates of an array, complex numbers as (real, imaginary) pairs, as a flat copy."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return np.array(flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat)


def unit(spec: Any, k: int) -> Any:
    """The tensor whose k-th real coordinate is 1."""
    from rushlight.tensor.core import wrap
    flat = np.zeros(spec.numel * (2 if spec.dtype.is_complex else 1), spec.dtype.to_real().numpy)
    flat[k] = 1
    return wrap(flat.view(spec.dtype.numpy).reshape(spec.shape))


def from_coordinates(flat: Array, spec: Any) -> Any:
    """A tensor from real coordinates."""
    from rushlight.tensor.core import wrap
    return wrap(flat.astype(spec.dtype.to_real().numpy).view(spec.dtype.numpy).reshape(spec.shape))


def values(t: Any) -> Array:
    """The realized numbers of a tensor."""
    from rushlight.tensor.core import unwrap
    return np.array(unwrap(t.detach()))


def size(spec: Any) -> int:
    """How many real coordinates a tensor of this type has."""
    return int(spec.numel * (2 if spec.dtype.is_complex else 1))


# --- the two Jacobians --------------------------------------------------------------------------------------------
def tensors_in(outputs: Any) -> list[Any]:
    """The floating-point tensors among results."""
    from rushlight.tensor.core import Tensor
    if isinstance(outputs, Tensor):
        outputs = (outputs,)
    return [o for o in outputs if isinstance(o, Tensor) and o._spec.dtype.kind in "fc"]


def with_values(x: Any, new: Array) -> None:
    """Write real coordinates into a tensor, past autograd and its version counter."""
    from rushlight.autograd.grad_mode import no_grad
    with no_grad():
        x.data.copy_(from_coordinates(new, x._spec))


def slope(f: Callable[[], list[Array]], x: Any, direction: Array, eps: float) -> list[Array]:
    """(f(x + eps d) - f(x - eps d)) / (2 eps), by changing x in place."""
    start = coordinates(values(x))
    try:
        with_values(x, start + eps * direction)
        above = f()
        with_values(x, start - eps * direction)
        below = f()
    finally:
        with_values(x, start)
    return [(a - b) / (2 * eps) for a, b in zip(above, below)]


def numerical(f: Callable[[], list[Array]], x: Any, eps: float, outs: list[Any]) -> list[Array]:
    """The Jacobian of each output by x, (outputs, inputs) in real coordinates."""
    n = size(x._spec)
    columns = [np.zeros((size(o._spec), n)) for o in outs]
    for k in range(n):
        direction = np.zeros(n)
        direction[k] = 1
        for column, s in zip(columns, slope(f, x, direction, eps)):
            column[:, k] = s
    return columns


def backward_rows(out: Any, xs: list[Any], v: Any, batched: bool = False) -> list[Any]:
    """The gradients of <v, out> by xs."""
    from rushlight.autograd.api import grad
    if not out.requires_grad:
        return [None] * len(xs)
    return list(grad(out, xs, v, retain_graph=True, allow_unused=True, is_grads_batched=batched))


def analytical(out: Any, xs: list[Any]) -> list[Array]:
    """The Jacobian of out by each x from the backward pass."""
    m = size(out._spec)
    rows = [np.zeros((m, size(x._spec))) for x in xs]
    for k in range(m):
        for row, x, g in zip(rows, xs, backward_rows(out, xs, unit(out._spec, k))):
            if g is not None:
                _check_type(x, g)
                row[k] = coordinates(values(g))
    return rows


def _check_type(x: Any, g: Any) -> None:
    if g._spec.shape != x._spec.shape:
        raise GradcheckError(f"grad is incorrect size: got {list(g._spec.shape)} for an input of {list(x._spec.shape)}")
    if g._spec.dtype.is_complex != x._spec.dtype.is_complex:
        raise GradcheckError(f"grad is incorrect type: got {g._spec.dtype} for an input of {x._spec.dtype}")


# --- the checks ---------------------------------------------------------------------------------------------------
class _Check:
    """One run of gradcheck: the function, its inputs and the settings."""

    def __init__(self, func: Any, inputs: Any, eps: float, atol: float, rtol: float, nondet_tol: float):
        from rushlight.tensor.core import Tensor
        self.func = func
        self.inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        self.eps, self.atol, self.rtol, self.nondet_tol = eps, atol, rtol, nondet_tol
        self.xs = [x for x in self.inputs if isinstance(x, Tensor) and x.requires_grad]
        self.places = [i for i, x in enumerate(self.inputs) if isinstance(x, Tensor) and x.requires_grad]

    def outputs(self) -> list[Any]:
        """The function's results with their history."""
        return tensors_in(self.func(*self.inputs))

    def numbers(self) -> list[Array]:
        """The function's results as real coordinates."""
        return [coordinates(values(o)) for o in self.outputs()]

    def close(self, a: Array, b: Array, atol: float | None = None) -> bool:
        return bool(np.allclose(a, b, rtol=self.rtol, atol=self.atol if atol is None else atol, equal_nan=True))


def _validate(c: _Check, check_grad_dtypes: bool) -> None:
    if not c.xs:
        raise ValueError(NO_INPUT)
    for i, x in zip(c.places, c.xs):
        if x._spec.dtype.to_real().name != "float64":
            warnings.warn(f"Input #{i} requires gradient and is not a double precision floating point or complex. "
                          "This check will likely fail if all the inputs are not of double "
                          "precision floating point or complex. ", stacklevel=4)
        if any(s == 0 and n > 1 for n, s in zip(x._spec.shape, x._spec.strides)):
            raise RuntimeError(f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs "
                               "that are non-overlapping to be able to compute the numerical gradients correctly. "
                               "You should call .contiguous on the input before passing it to gradcheck.")
        if check_grad_dtypes and x._spec.dtype.kind not in "fc":
            raise GradcheckError(f"Input #{i} has dtype {x._spec.dtype}, which has no gradient")


def _same_outputs(c: _Check, outs: list[Any]) -> None:
    """Nothing that requires gradients came out: then finite differences must be zero."""
    for i, x in zip(c.places, c.xs):
        for j, column in enumerate(numerical(c.numbers, x, c.eps, outs)):
            if not c.close(column, np.zeros_like(column)):
                raise GradcheckError("Numerical gradient for function expected to be zero: "
                                     f"output {j} changes with input {i} and does not require grad")


def mismatch(j: int, i: int, numeric: Array, analytic: Array, what: str = "Jacobian") -> str:
    """The message for two Jacobians that differ, with the largest difference."""
    difference = np.abs(numeric - analytic)
    where = ""
    if difference.size and difference.ndim and not np.isnan(difference).all():
        worst = np.unravel_index(int(np.nanargmax(difference)), difference.shape)
        where = f"\nlargest difference: {difference[worst]:.3e} at {tuple(int(w) for w in worst)}"
    return (f"{what} mismatch for output {j} with respect to input "
            f"{i},\nnumerical:{numeric.T}\nanalytical:{analytic.T}\n{where}")


def _slow(c: _Check, outs: list[Any], forward: bool, backward: bool) -> None:
    columns = [numerical(c.numbers, x, c.eps, outs) for x in c.xs]
    for j, out in enumerate(outs):
        if not backward:
            break
        rows = analytical(out, c.xs)
        again = analytical(out, c.xs)
        for n, i in enumerate(c.places):
            if not c.close(rows[n], columns[n][j]):
                raise GradcheckError(mismatch(j, i, columns[n][j], rows[n]))
            if np.abs(rows[n] - again[n]).max(initial=0.0) > c.nondet_tol:
                raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and "
                                     "grad_output multiple times gives different values, although analytical gradient "
                                     f"matches numerical gradient.The tolerance for nondeterminism was {c.nondet_tol}.")
    if forward:
        _check_forward(c, columns)


def _check_forward(c: _Check, columns: list[list[Array]]) -> None:
    """Each column by forward mode."""
    for n, i in enumerate(c.places):
        for k in range(size(c.xs[n]._spec)):
            for j, tangent in enumerate(_tangents(c, n, unit(c.xs[n]._spec, k))):
                want = columns[n][j][:, k]
                if not c.close(tangent, want):
                    raise GradcheckError("Jacobian computed with forward mode mismatch for output "
                                         f"{j} with respect to input {i},\nnumerical:{want}\nanalytical:{tangent}\n")


def _tangents(c: _Check, n: int, direction: Any) -> list[Array]:
    from rushlight.autograd import forward_ad
    with forward_ad.dual_level():
        duals = list(c.inputs)
        duals[c.places[n]] = forward_ad.make_dual(c.xs[n].detach(), direction)
        outs = tensors_in(c.func(*duals))
        parts = [(o, forward_ad.unpack_dual(o).tangent) for o in outs]
        return [coordinates(values(t)) if t is not None else np.zeros(size(o._spec)) for o, t in parts]


def _fast(c: _Check, outs: list[Any], forward: bool, backward: bool) -> None:
    """u^T J v for one random pair of directions per output and input, in place of whole Jacobians."""
    random = np.random.default_rng(0)
    for n, i in enumerate(c.places):
        x = c.xs[n]
        v = random.random(size(x._spec))
        v /= np.sqrt((v * v).sum()) or 1.0
        slopes = slope(c.numbers, x, v, c.eps)
        tangents = _tangents(c, n, from_coordinates(v, x._spec)) if forward else slopes
        for j, (out, s) in enumerate(zip(outs, slopes)):
            u = random.random(size(out._spec))
            u /= np.sqrt((u * u).sum()) or 1.0
            g = backward_rows(out, [x], from_coordinates(u, out._spec))[0] if backward else None
            found = float(coordinates(values(g)) @ v) if g is not None else 0.0
            if backward and not c.close(np.array(found), np.array(u @ s)):
                raise GradcheckError(_fast_message(c, j, i, n, out, float(u @ s), found))
            if forward and not c.close(tangents[j], s):
                raise GradcheckError(f"Jacobian computed with forward mode mismatch for output {j} with "
                                     f"respect to input {i},\nnumerical:{s}\nanalytical:{tangents[j]}\n")


def _fast_message(c: _Check, j: int, i: int, n: int, out: Any, numeric: float, analytic: float) -> str:
    rows, columns = analytical(out, [c.xs[n]])[0], numerical(c.numbers, c.xs[n], c.eps, c.outputs())[j]
    note = FAST_NOTE if c.close(rows, columns) else ""
    return (f"{note}Jacobian mismatch for output {j} with respect to input {i},\n"
            f"numerical:{numeric}\nanalytical:{analytic}\n\n"
            "The above quantities relating the numerical and analytical jacobians are computed in fast mode.\n"
            f"{mismatch(j, i, columns, rows)}")


def _check_undefined(c: _Check) -> None:
    """A gradient that reaches only one of several outputs must pass."""
    outs = [o for o in c.outputs() if o.requires_grad]
    for o in outs if len(outs) > 1 else ():
        try:
            backward_rows(o, c.xs, unit(o._spec, 0) if o._spec.numel else None)
        except Exception as e:
            raise GradcheckError("Expected backward function to handle undefined output grads. Please look at "
                                 f"'Notes about undefined output gradients': {type(e).__name__}: {e}") from e


def _check_batched(c: _Check) -> None:
    """The backward pass under vmap gives what a loop gives."""
    from rushlight.tensor.functions.joining import stack
    random = np.random.default_rng(0)
    for j, out in enumerate(c.outputs()):
        if not out.requires_grad:
            continue
        vs = [from_coordinates(random.standard_normal(size(out._spec)), out._spec) for _ in range(2)]
        single = [backward_rows(out, c.xs, v) for v in vs]
        try:
            whole = backward_rows(out, c.xs, stack(vs), batched=True)
        except RuntimeError as e:
            raise GradcheckError(f"While computing batched gradients, got: {e}") from e
        for n, i in enumerate(c.places):
            for k in range(2):
                want = single[k][n]
                got = None if whole[n] is None else whole[n][k]
                if (want is None) != (got is None) or (want is not None and not c.close(values(got), values(want))):
                    raise GradcheckError(f"For output {j} and input {i}:\n\ngradcheck or gradgradcheck "
                                         "failed while testing batched gradient computation. "
                                         "The vmapped backward pass and a loop over samples differ.")


def gradcheck(func: Any, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, check_batched_grad: bool = False,
              check_batched_forward_grad: bool = False, check_forward_ad: bool = False, check_backward_ad: bool = True,
              fast_mode: bool = False, masked: bool | None = None) -> bool:
    """Whether func's backward pass agrees with central differences, (f(x + eps) - f(x - eps)) / (2 eps), at ``inputs``.

    func maps the inputs to one tensor or several; inputs that require gradients should be float64 or complex128. Raises
    GradcheckError with both Jacobians where they differ by more than atol + rtol |numerical| (False in its place with
    raise_exception=False); ValueError where no input requires gradients. fast_mode compares u^T J v for random u and v.

    >>> import rushlight as rl
    >>> gradcheck(rl.sin, rl.ones(2, dtype=rl.float64, requires_grad=True))
    True
    """
    if not check_forward_ad and not check_backward_ad:
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    if masked:
        raise NotImplementedError("gradcheck(masked=True) is for sparse tensors; pass masked=False")
    c = _Check(func, inputs, eps, atol, rtol, nondet_tol)
    try:
        _validate(c, check_grad_dtypes)
        outs = c.outputs()
        if not any(o.requires_grad for o in outs) and check_backward_ad:
            _same_outputs(c, outs)
            return True
        (_fast if fast_mode else _slow)(c, outs, check_forward_ad, check_backward_ad)
        if check_batched_forward_grad:
            _check_batched_forward(c)
        if check_undefined_grad and check_backward_ad:
            _check_undefined(c)
        if check_batched_grad:
            _check_batched(c)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_batched_forward(c: _Check) -> None:
    """Forward mode under vmap gives what a loop gives."""
    from rushlight import func
    from rushlight.tensor.functions.joining import stack
    for n, i in enumerate(c.places):
        def tangents(v: Any, n: int = n) -> Any:
            def of(x: Any) -> Any:
                return tuple(tensors_in(c.func(*c.inputs[:c.places[n]], x, *c.inputs[c.places[n] + 1:])))
            return func.jvp(of, (c.xs[n].detach(),), (v,))[1]
        random = np.random.default_rng(0)
        vs = [from_coordinates(random.standard_normal(size(c.xs[n]._spec)), c.xs[n]._spec) for _ in range(2)]
        whole = func.vmap(tangents)(stack(vs))
        for k, v in enumerate(vs):
            for j, (got, want) in enumerate(zip(whole, tangents(v))):
                if not c.close(values(got[k]), values(want)):
                    raise GradcheckError(f"For output {j} and input {i}: "
                                         "forward mode under vmap and a loop over samples differ.")


def gradgradcheck(func: Any, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True,
                  nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
                  check_batched_grad: bool = False, check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True,
                  fast_mode: bool = False, masked: bool = False) -> bool:
    """Whether the gradient of func's backward pass agrees with finite differences;
    the arguments are those of `gradcheck`.

    ``grad_outputs`` weight the outputs (random ones by default) and are differentiated too.

    >>> import rushlight as rl
    >>> gradgradcheck(rl.exp, rl.ones(2, dtype=rl.float64, requires_grad=True))
    True
    """
    if not check_fwd_over_rev and not check_rev_over_rev:
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if masked:
        raise NotImplementedError("gradgradcheck(masked=True) is for sparse tensors; pass masked=False")
    from rushlight.autograd.api import grad
    from rushlight.tensor.core import Tensor
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        weights = _random_weights(func, inputs, gen_non_contig_grad_outputs)
    else:
        weights = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    count = len(inputs)

    def gradients(*args: Any) -> Any:
        args, given = args[:count], args[count:]
        args = tuple(x if not (isinstance(x, Tensor) and x._rg) else x.view(x._spec.shape) if x._spec.contiguous
                     else x * 1 for x in args)
        outs = [o for o in tensors_in(func(*args)) if o.requires_grad]
        wanted = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
        found = grad(outs, wanted, given, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)
    return gradcheck(gradients, inputs + weights, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad,
                     check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
                     check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev,
                     fast_mode=fast_mode, masked=masked)


def _random_weights(func: Any, inputs: Any, strided: bool) -> tuple[Any, ...]:
    random = np.random.default_rng(0)
    weights = []
    for o in tensors_in(func(*inputs)):
        if not o.requires_grad:
            continue
        w = from_coordinates(random.uniform(-1, 1, size(o._spec)), o._spec)
        if strided and o._spec.shape:
            w = w.repeat_interleave(2, -1)[..., ::2]
        weights.append(w.requires_grad_())
    return tuple(weights)
