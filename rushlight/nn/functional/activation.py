"""Activation functions."""

from __future__ import annotations

from typing import Any

from rushlight.tensor import coarse
from rushlight.tensor.autocast import reduced
from rushlight.tensor.core import Tensor
from rushlight.tensor.drawing import rand
from rushlight.tensor.functions import pointwise as P
from rushlight.tensor.functions import norms, reduction as R
from rushlight.tensor.functions.common import in_place, is_float, rewrite, scalar_name
from rushlight.tensor.samples import level_of, numbers


def done(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    """The result, stored in the input where that was asked for."""
    return in_place(input, result) if inplace else result


def floating(name: str, x: Tensor) -> None:
    """NotImplementedError in PyTorch's words for integer input."""
    if not is_float(x):
        raise NotImplementedError(f"\"{name}\" not implemented for '{scalar_name(x.dtype)}'")


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    Any shape and real dtype; ``inplace`` overwrites the input.

    >>> import rushlight as rl
    >>> rl.nn.functional.relu(rl.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return done(input, P.relu(input), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]; the gradient at the limits is 0."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if input.dtype.kind == "b":
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if input.dtype.kind == "u" and not input.is_quantized and (min_val < 0 or max_val < 0):
        raise RuntimeError("Cannot do hardtanh on an unsigned type with negative limits: "
                           f"min_val={min_val}, max_val={max_val}")
    if input.is_quantized:
        return done(input, input.clamp(min_val, max_val), inplace)
    if is_float(input):
        return done(input, coarse.hardtanh(input, float(min_val), float(max_val)), inplace)
    low, high = int(min_val), int(max_val)
    return done(input, P.where(input <= low, low, P.where(input >= high, high, input)), inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope * x."""
    floating("leaky_relu_cpu", input)
    return done(input, P.where(input > 0, input, input * negative_slope), inplace)


@reduced
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight * x; one weight, or one for each channel (dimension 1)."""
    if weight.numel() != 1:
        if not input.ndim:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.ndim > 1:
            raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
        if channels != weight.numel():
            raise RuntimeError("Mismatch of parameter numbers and input channel size. "
                               f"Found parameter numbers = {weight.numel()} and channel size = {channels}.")
        weight = weight.reshape([1, -1, *[1] * (input.ndim - 2)] if input.ndim > 1 else [-1])
    elif weight.ndim:
        weight = weight.reshape(())
    return P.where(input > 0, input, input * weight)


def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False,
          inplace: bool = False) -> Tensor:
    """leaky_relu whose slope is drawn from [lower, upper] in training, their mean otherwise."""
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    slope: Any = (lower + upper) / 2 if not training else rand(input.shape, dtype=input.dtype) * (upper - lower) + lower
    return done(input, P.where(input >= 0, input, input * slope), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1)."""
    floating("elu_cpu", input)
    return done(input, P.where(input > 0, input, (P.where(input > 0, 0, input)).expm1() * alpha), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising elu."""
    a, s = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    floating("elu_cpu", input)
    return done(input, P.where(input > 0, input * s, P.where(input > 0, 0, input).expm1() * (a * s)), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    floating("elu_cpu", input)
    return done(input, P.where(input > 0, input, (P.where(input > 0, 0, input) / alpha).expm1() * alpha), inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x); approximate="tanh" for the tanh form."""
    floating("GeluKernelImpl", input)
    return coarse.gelu(input, approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    if not input.dtype.is_complex:
        floating("silu_cpu", input)
    return rewrite(input, coarse.silu, ()) if inplace else coarse.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    if inplace:
        return rewrite(input, mish, ())
    floating("mish_cpu", input)
    return input * softplus(input).tanh()


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x is over the threshold."""
    floating("softplus_cpu", input)
    z = input * beta if beta != 1 else input
    big = z > threshold
    smooth = P.where(big, 0, z).exp().log1p()
    return P.where(big, input, smooth / beta if beta != 1 else smooth)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    floating("log_sigmoid_cpu", input)
    return coarse.log_sigmoid(input.contiguous())


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6; the gradient at the corners is 0. Quantized numbers give ones of scale 1/256."""
    if input.is_quantized:
        from rushlight import qint8, quantize_per_tensor
        return done(input, quantize_per_tensor(hardsigmoid(input.dequantize()), 1 / 256,
                                               -128 if input.dtype is qint8 else 0, input.dtype), inplace)
    floating("hardsigmoid_cpu", input)
    return done(input, coarse.hardsigmoid(input), inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x)."""
    if inplace:
        return rewrite(input, hardswish, ())
    floating("hardswish_cpu", input)
    return coarse.hardswish(input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    floating("hardshrink_cpu", input)
    return P.where((input >= -lambd) & (input <= lambd), 0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, 0 where |x| <= lambd."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    floating("softshrink_cpu", input)
    return P.where(input > lambd, input - lambd, P.where(input < -lambd, input + lambd, input * 0))


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - input.tanh()


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where it is over the threshold, else value."""
    keep = int if not is_float(input) else float
    return done(input, P.where(input <= threshold, keep(value), input), inplace)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), a and b the halves of input along dim."""
    if not input.ndim:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    if input.shape[dim] % 2:
        raise RuntimeError("Halving dimension must be even, "
                           f"but dimension {dim % input.ndim} is size {input.shape[dim]}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return P.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return P.sigmoid(input)


def implicit_dim(name: str, ndim: int) -> int:
    """The dimension that softmax without one uses, with PyTorch's warning."""
    import warnings
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. "
                  "Change the call to include dim=X as an argument.", stacklevel=3)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along dim.

    Floats of any shape, the same shape out; ``dtype`` converts first. IndexError for a dim that is not there.

    >>> import rushlight as rl
    >>> rl.nn.functional.softmax(rl.tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return R.softmax(input, implicit_dim("softmax", input.ndim) if dim is None else dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """softmax(-x)."""
    return R.softmax(-input, implicit_dim("softmin", input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along dim.

    Floats of any shape, the same shape out; ``dtype`` converts first. IndexError for a dim that is not there.

    >>> import rushlight as rl
    >>> rl.nn.functional.log_softmax(rl.tensor([0.0, 0.0]), 0)
    tensor([-0.6931, -0.6931])
    """
    return R.log_softmax(input, implicit_dim("log_softmax", input.ndim) if dim is None else dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution; hard=True gives one-hot vectors with the soft gradient."""
    from rushlight.tensor.creation import zeros_like
    noise = -zeros_like(logits).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    one = zeros_like(logits).scatter(dim, soft.argmax(dim, keepdim=True), 1.0)
    return one - soft.detach() + soft


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Tensor:
    """input divided by its p-norm along dim (at least eps)."""
    from rushlight.tensor.functions.common import give
    return give(out, input / norms.vector_norm(input, p, dim, True).clamp_min(eps).expand_as(input))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Each integer as a vector with a 1 at its position.

    int64 of any shape (…) to (…, num_classes). RuntimeError for negative integers and those beyond the classes.

    >>> import rushlight as rl
    >>> rl.nn.functional.one_hot(rl.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    from rushlight.tensor.creation import zeros
    if tensor.dtype.name != "int64":
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if tensor.numel() == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes == -1 and level_of(tensor) is not None:
        raise RuntimeError("When vmap-ing torch.nn.functional.one_hot, please provide an explicit positive "
                           "num_classes argument: how many there are depends on the numbers otherwise.")
    values = numbers(tensor)
    if values.size and values.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    n = int(values.max()) + 1 if num_classes == -1 else num_classes
    if n < 1 or (values.size and values.max() >= n):
        raise RuntimeError("Class values must be smaller than num_classes." if n >= 1
                           else "num_classes should be positive")
    return zeros(*tensor.shape, n, dtype=tensor.dtype).scatter(-1, tensor.unsqueeze(-1), 1)


def _inplace(function: Any) -> Any:
    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)
    method.__name__ = function.__name__ + "_"
    method.__doc__ = f"In-place version of `{function.__name__}`."
    return method


relu_, hardtanh_, leaky_relu_, rrelu_, elu_, selu_, celu_, threshold_ = (
    _inplace(f) for f in (relu, hardtanh, leaky_relu, rrelu, elu, selu, celu, threshold))
