"""Functions of single elements: dimensions of the broadcast result are the labels, all of which may be cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.distributed.tensor.dispatch import backward, bound, rule
from rushlight.distributed.tensor.dtensor import DTensor, gradient_placements, make
from rushlight.distributed.tensor.labels import Plan, execute
from rushlight.tensor.core import Tensor

UNARY = """abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not
ceil celu cos cosh deg2rad digamma elu erf erfc erfinv exp exp2 expm1 floor frac gelu hardshrink hardsigmoid
hardswish hardtanh i0 isfinite isinf isnan isneginf isposinf isreal leaky_relu lgamma log log10 log1p log2
logical_not logit logsigmoid mish nan_to_num neg negative positive rad2deg reciprocal relu relu6 round rsqrt
selu sgn sigmoid sign signbit silu sin sinc sinh softplus softshrink softsign special_erf sqrt square tan tanh
tanhshrink threshold trunc fix __invert__ __pos__ bitwise_not""".split()
BINARY = """atan2 arctan2 bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift copysign div divide
true_divide eq float_power floor_divide fmax fmin fmod ge greater greater_equal gt heaviside hypot isclose ldexp
le less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor lt maximum minimum mul multiply ne
not_equal nextafter pow remainder rsub xlogy __rsub__ __rtruediv__ __rpow__ __floordiv__ __rfloordiv__ __mod__
__rmod__ __and__ __or__ __xor__ __rand__ __ror__ __rxor__ __lshift__ __rshift__ add sub subtract prelu""".split()
TERNARY = "addcdiv addcmul clamp clip clamp_min clamp_max lerp masked_fill where".split()
SUMS = {
    "add",
    "sub",
    "subtract",
    "neg",
    "negative",
    "clone",
    "contiguous",
    "positive",
    "__rsub__",
    "rsub",
}  # linear in all operands together
PRODUCTS = {
    "mul": (0, 1),
    "multiply": (0, 1),
    "div": (0,),
    "divide": (0,),
    "true_divide": (0,),
}  # linear in these operands alone
CASTS = """to float double half bfloat16 long int short char byte bool type type_as clone contiguous cpu
    requires_grad_""".split()
IN_PLACE = """abs add sub mul div pow neg clamp clamp_min clamp_max sqrt rsqrt exp log reciprocal sigmoid tanh relu zero
    fill copy addcmul addcdiv lerp masked_fill round floor ceil sign square multiply divide subtract logical_not
    nan_to_num remainder fmod maximum minimum""".split()


def flat_operands(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[DTensor]:
    """The DTensors among the arguments themselves."""
    return [a for a in (*args, *kwargs.values()) if isinstance(a, DTensor)]


def caller(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function with local tensors in the places of the arguments' DTensors."""

    def call(local: list[Any], targets: Any) -> Any:
        rest = iter(local)
        return func(
            *[next(rest) if isinstance(a, DTensor) else a for a in args],
            **{k: next(rest) if isinstance(v, DTensor) else v for k, v in kwargs.items()},
        )

    return call


def right_aligned(operands: list[DTensor]) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """Labels of broadcast operands and of their result."""
    ndim = max(op.ndim for op in operands)
    return [tuple(range(ndim - op.ndim, ndim)) for op in operands], tuple(range(ndim))


def broadcast(operands: list[DTensor]) -> tuple[int, ...]:
    """The shape of the result; PyTorch's error where there is none."""
    ndim, shape = max(op.ndim for op in operands), []
    for d in range(1, ndim + 1):
        sizes = {int(op.shape[-d]) for op in operands if op.ndim >= d}
        if len(sizes - {1}) > 1:
            a, b = sorted(
                sizes - {1},
                key=lambda n: next(i for i, op in enumerate(operands) if op.ndim >= d and op.shape[-d] == n),
            )[:2]
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of "
                f"tensor b ({b}) at non-singleton dimension {ndim - d}"
            )
        shape.append(max(sizes) if 0 not in sizes else 0)
    return tuple(reversed(shape))


@rule(*UNARY, *BINARY, *TERNARY, *CASTS)
def pointwise(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """f(x, y, …) element by element."""
    operands = flat_operands(args, kwargs)
    if not operands or name == "where" and len(operands) < 2 and len(args) < 3:
        return NotImplemented
    if name in ("type",) and len(args) == 1 and not kwargs:
        return "torch.distributed.tensor.DTensor"
    labels, out = right_aligned(operands)
    broadcast(operands)
    alone = len(operands) == 1
    if name == "type_as":
        labels[1:] = [(None,) * operands[1].ndim]
    linear = frozenset(PRODUCTS.get(name, ())) if not kwargs.get("rounding_mode") else frozenset()
    if alone and name in PRODUCTS:
        linear = frozenset({0}) if isinstance(args[0], DTensor) else linear & {1} and frozenset({0})
    together = name in SUMS and (not alone or name in ("neg", "negative", "clone", "contiguous", "positive"))
    plan = Plan(
        operands,
        labels,
        [out],
        caller(func, args, kwargs),
        linear=linear,
        together=together,
        in_place=bool(kwargs.get("inplace")),
    )
    return execute(plan)


@rule(*[n + "_" for n in IN_PLACE])
def in_place(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x.f_(y, …): the operands are placed as x is."""
    if not isinstance(args[0], DTensor):
        return NotImplemented
    operands = flat_operands(args, kwargs)
    labels, out = right_aligned(operands)
    if broadcast(operands) != tuple(args[0].shape):
        raise RuntimeError(
            f"output with shape {list(args[0].shape)} doesn't match the broadcast shape {list(broadcast(operands))}"
        )
    base = name[:-1]
    alone = len(operands) == 1
    linear = frozenset({0}) if base in PRODUCTS else frozenset()
    together = base in ("zero", "neg", "copy") or base in SUMS and not alone
    return execute(
        Plan(operands, labels, [out], caller(func, args, kwargs), linear=linear, together=together, in_place=True)
    )


@rule("zeros_like", "ones_like", "empty_like", "full_like")
def like(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Pieces as x's, all of them filled."""
    x = args[0]
    return make(func(x._local_tensor, *args[1:], **kwargs), x.device_mesh, gradient_placements(x.placements), x.shape)


@rule("detach", "detach_", "alias", "view_as_real")
def detach(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The piece without history."""
    x = args[0]
    if name == "view_as_real":
        return NotImplemented
    if name == "detach_":
        x._local_tensor.detach_()
        return x
    return make(x._local_tensor.detach() if name == "detach" else x._local_tensor, x.device_mesh, x.placements, x.shape)


def _stride(x: DTensor, dim: int | None = None) -> Any:
    strides, n = [], 1
    order = sorted(range(x.ndim), key=lambda d: x._local_tensor.stride(d))
    found = dict.fromkeys(range(x.ndim), 0)
    for d in order:
        found[d] = n
        n *= max(1, int(x.shape[d]))
    strides = [found[d] for d in range(x.ndim)]
    return tuple(strides) if dim is None else strides[dim]


def _size(x: DTensor, dim: int | None = None) -> Any:
    return x.shape if dim is None else x.shape[dim]


def _numel(x: DTensor) -> int:
    n = 1
    for s in x.shape:
        n *= int(s)
    return n


FACTS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "dim": lambda x: x.ndim,
    "ndimension": lambda x: x.ndim,
    "numel": _numel,
    "nelement": _numel,
    "stride": _stride,
    "backward": backward,
    "is_complex": lambda x: x._local_tensor.is_complex(),
    "is_floating_point": lambda x: x._local_tensor.is_floating_point(),
    "is_contiguous": lambda x, *a, **k: x._local_tensor.is_contiguous(*a, **k),
    "element_size": lambda x: x._local_tensor.element_size(),
    "is_signed": lambda x: x._local_tensor.is_signed(),
    "get_device": lambda x: x._local_tensor.get_device(),
    "is_distributed": lambda x: True,
    "is_same_size": lambda x, y: x.shape == y.shape,
    "is_inference": lambda x: x._local_tensor.is_inference(),
    "is_tensor": lambda x: True,
    "storage_offset": lambda x: 0,
    "has_names": lambda x: False,
    "__len__": len,
    "__hash__": id,
    "register_hook": DTensor.register_hook,
    "retain_grad": DTensor.retain_grad,
    "__repr__": DTensor.__repr__,
    "__reduce_ex__": DTensor.__reduce_ex__,
    "__deepcopy__": DTensor.__deepcopy__,
}


@rule(*FACTS)
def fact(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a DTensor knows without computing."""
    return FACTS[name](*args, **kwargs) if isinstance(args[0], DTensor) else NotImplemented


@rule("dropout", "dropout_")
def dropout(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The mask is drawn for the whole on every rank, from equal generators the same: as one process would draw it."""
    import rushlight as rl
    from rushlight.distributed.tensor.layout import box

    given = bound(func, args, kwargs)
    x, p = given["input"], given.get("p", 0.5)
    training = given.get("training", given.get("train", True))
    if not 0 <= p <= 1 or given.get("inplace") or name == "dropout_":
        return NotImplemented
    if not training or p == 0:
        return x
    mask = func(rl.ones(tuple(x.shape), dtype=x.dtype), p, True)

    def call(local: list[Any], targets: Any) -> Any:
        mesh = x.device_mesh
        shape, offset = box(tuple(x.shape), mesh.shape, mesh.get_coordinate(), targets[0])
        return local[0] * mask[tuple(slice(o, o + n) for o, n in zip(offset, shape))]

    labels = tuple(range(x.ndim))
    return execute(Plan([x], [labels], [labels], call, linear=frozenset({0})))


def is_tensor(v: Any) -> bool:
    """Whether it is a tensor of any kind."""
    return isinstance(v, Tensor)
