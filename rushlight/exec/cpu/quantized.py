"""Integer convolution, products and pooling of quantized layers as oneDNN primitives; residual sums join the convolution.

Scales and zero points are memory that the primitives read when they run, so other numbers need no other plan. Weights are
reordered into oneDNN's layout once, where a layer keeps them (see `packing`), not at each run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from rushlight.exec.cpu.onednn import library, openmp, primitives
from rushlight.exec.cpu.onednn.library import OneDNNError
from rushlight.exec.cpu.onednn.memory import Desc, strides_of
from rushlight.exec.cpu.onednn.primitive import Attributes, Binary, Bound, Eltwise, Primitive
from rushlight.exec.cpu.onednn.primitives import Pool, Window, grouped, window_end
from rushlight.exec.cpu.steps import PrimitiveStep
from rushlight.ir.dtype import DType, float32, int8, uint8
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, contiguous_strides, spec
from rushlight.ops.quantized import qconv_shape, qlinear_shape
from rushlight.ops.table import TABLE, Op

Ints = tuple[int, ...]
ALIGN = 64
NAMES = frozenset(("qconv", "qlinear", "qpool"))


def _definition(np: Any, *args: Any) -> Any:
    from rushlight.exec.numpy import quantized
    return quantized.qconv_add(*args)


CONV_ADD = Op("qconv_add", "contract", " ".join((*TABLE["qconv"].inputs, "other")), lambda x, w, *rest: qconv_shape(x, w, *rest),
              attrs=" ".join(TABLE["qconv"].attrs), numpy=_definition, differentiable=False)


# --- primitives -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Kind:
    """All that a primitive depends on. Shapes as the rows have them (channels last); ``other`` is the type of a summand."""

    x: tuple[DType, Ints]
    w: Ints
    out: tuple[DType, Ints]
    window: tuple[Ints, Ints, Ints, int] | None  # stride, padding, dilation, groups; None for a matrix product
    offset: bool
    zero_out: bool
    relu: bool
    other: DType | None
    threads: int


def kind_of(op: str, x: Any, w: Any, attrs: tuple[Any, ...], other: DType | None = None) -> Kind:
    """The kind of a row's instruction on operands of these types."""
    (dtype, shape), = (qlinear_shape if op == "qlinear" else qconv_shape)(x, w, *attrs)
    offset, zero_out, relu, _, _ = attrs[-5:]
    window = None if op == "qlinear" else attrs[-9:-5]
    return Kind((x.dtype, x.shape), w.shape, (dtype, shape), window, offset, bool(zero_out), relu, other, openmp.threads())


@lru_cache(4096)
def primitive(kind: Kind) -> Primitive | None:
    """The primitive of a kind, or None where oneDNN has no fast one."""
    if not library.available() or kind.x[0] not in (uint8, int8) or not prod(kind.out[1]) or not prod(kind.w) or not prod(kind.x[1]):
        return None
    try:
        made = _product(kind) if kind.window is None else _convolution(kind)
    except OneDNNError:
        return None
    return None if made.reference else made


def _attributes(kind: Kind, weights: tuple[int, int]) -> Attributes:
    post: list[Any] = [Binary("add", _images(kind.out[1], kind.other))] if kind.other is not None else []
    if kind.relu:
        post.append(Eltwise("relu"))
    whole = not kind.out[0].is_floating_point
    zeros = {"src": (0, 1)} if kind.offset else {}
    if kind.zero_out and whole:
        zeros["dst"] = (0, 1)
    return Attributes(tuple(post), {"weights": weights, **({"dst": (0, 1)} if whole else {})}, zeros)


def _product(kind: Kind) -> Primitive:
    (m, k), n = kind.x[1], kind.w[0]
    return primitives.matmul(Desc.of((m, k), kind.x[0]), Desc.any((k, n), int8), Desc.of((m, n), kind.out[0]), Desc.of((1, n), float32),
                             _attributes(kind, (2, n)))


def _convolution(kind: Kind) -> Primitive:
    assert kind.window is not None
    stride, padding, dilation, groups = kind.window
    size, out, kernel = kind.x[1][1:-1], kind.out[1][1:-1], kind.w[2:]
    pads = [(p, window_end(n, o, k, s, d, p)) for n, o, k, s, d, p in zip(size, out, kernel, stride, dilation, padding)]
    return primitives.convolution(
        _images(kind.x[1], kind.x[0]), Desc.any(grouped(kind.w, groups), int8), _images(kind.out[1], kind.out[0]), Window(stride, pads, dilation),
        Desc.of((kind.w[0],), float32), "inference", _attributes(kind, (3 if groups > 1 else 1, kind.w[0])))


def _images(shape: Ints, dtype: DType) -> Desc:
    """A layout of (N, C, *spatial) for memory of shape (N, *spatial, C)."""
    logical = (shape[0], shape[-1], *shape[1:-1])
    return Desc.of(logical, dtype, strides_of(logical, (0, *range(2, len(logical)), 1)))


def _plain_weights(kind: Kind) -> Desc:
    """The layout of weights as layers keep them: (o, k) or (o, i/groups, *kernel)."""
    if kind.window is None:
        n, k = kind.w
        return Desc.of((k, n), int8, (1, k))
    return Desc.of(grouped(kind.w, kind.window[3]), int8)


# --- packed weights ---------------------------------------------------------------------------------------------------
class Packing:
    """A layout of packed weights; one object per layout, so that it is a key."""

    def __init__(self, desc: Desc):
        self.desc = desc

    def __repr__(self) -> str:
        return self.desc.layout


_packings: dict[tuple[Any, ...], list[Packing]] = {}


def packing(op: str, x: Any, w: Any, attrs: tuple[Any, ...]) -> tuple[Packing, Kind] | None:
    """How the weights of an instruction are best packed; None where no kernel wants that."""
    from rushlight.exec import threads
    with openmp.limit(1 if threads.single_library else threads.count()):
        kind = kind_of(op, x, w, attrs)
        made = primitive(kind)
    if made is None:
        return None
    desc = made.descs["weights"]
    known = _packings.setdefault((desc.shape, desc.size), [])
    found = next((p for p in known if p.desc == desc), None)
    if found is None:
        known.append(found := Packing(desc))
    return found, kind


def pack(weights: np.ndarray[Any, Any], packing: Packing, kind: Kind) -> np.ndarray[Any, Any]:
    """The bytes of weights in a layout."""
    source = np.ascontiguousarray(weights)
    bound = Bound(primitives.reorder(_plain_weights(kind), packing.desc))
    raw = np.zeros(packing.desc.size + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    target = raw[start:start + packing.desc.size]
    bound.set("src", source.ctypes.data)
    bound.set("dst", target.ctypes.data)
    if "scratchpad" in bound.primitive.descs:
        scratch = np.zeros(bound.primitive.descs["scratchpad"].size + ALIGN, np.uint8)
        bound.set("scratchpad", scratch.ctypes.data)
    bound.execute()
    return target


# --- joining ----------------------------------------------------------------------------------------------------------
def join(program: Program) -> Program:
    """Convolutions with the addition that alone reads them: one rounding less, and one pass over memory less."""
    if not any(i.op.name == "qadd" for i in program.instrs):
        return program
    readers: dict[int, int] = {}
    for instr in program.instrs:
        for o in instr.operands:
            readers[o.value] = readers.get(o.value, 0) + 1
    program = replace(program, instrs=list(program.instrs))
    out: list[Instr | None] = []
    places: dict[int, int] = {}
    for instr in program.instrs:
        if instr.op.name == "qconv" and not instr.attrs[-3] and readers.get(instr.results[0]) == 1 and instr.results[0] not in program.outputs:
            places[instr.results[0]] = len(out)
        made = [instr]
        if instr.op.name == "qadd":
            for at in (0, 1):
                place = places.get(instr.operands[at].value)
                if place is None or out[place] is None:
                    continue
                joined = _joined(program, out[place], instr, at)
                if joined:
                    out[place], made = None, joined
                    break
        out += made
    program.instrs = [i for i in out if i is not None]
    program.verify()
    return program


def _joined(program: Program, conv: Instr | None, add: Instr, at: int) -> list[Instr] | None:
    """The convolution with an addition after it, in the units of the other operand: everything is divided by that one's scale."""
    assert conv is not None
    mine, other = add.operands[at], add.operands[1 - at]
    zeros, (zero_out, relu, dtype) = add.attrs[:2], add.attrs[2:]
    dense = (mine, other)
    if any(not (isinstance(o.spec, Spec) and o.spec.shape == conv.outs[0].shape) for o in dense) or not mine.spec.plain \
            or other.spec.strides != contiguous_strides(other.spec.shape) or other.spec.dtype not in (uint8, int8):
        return None
    attrs = (*conv.attrs[:5], zero_out, relu, dtype, conv.attrs[-1])
    if primitive(kind_of("qconv", conv.operands[0].spec, conv.operands[1].spec, attrs, other.spec.dtype)) is None:
        return None
    x, w, packed, scale, bias, _, zero_x = conv.operands
    unit, out_scale = add.operands[3 - at], add.operands[4]
    made: list[Instr] = []

    def small(name: str, *operands: Operand) -> Operand:
        shape = operands[0].spec.shape
        wide = tuple(Operand(o.value, o.spec.expand(shape)) if isinstance(o.spec, Spec) else o for o in operands)
        result = program.new()
        made.append(Instr(TABLE[name], wide, (), (result,), (spec(float32, shape),), add.line))
        return Operand(result, spec(float32, shape))
    new_bias = small("div", bias, unit)
    if zeros[1 - at]:
        from rushlight.ir.graph import SCALARS
        number = program.new()
        made.append(Instr(TABLE["constant"], (), (float(zeros[1 - at]),), (number,), (SCALARS[float],), add.line))  # type: ignore[arg-type]
        new_bias = small("sub", new_bias, Operand(number, SCALARS[float]))
    operands = (x, w, packed, small("div", scale, unit), new_bias, small("div", out_scale, unit), zero_x, other)
    return [*made, Instr(CONV_ADD, operands, attrs, add.results, add.outs, add.line)]


# --- steps ------------------------------------------------------------------------------------------------------------
def steps(instr: Instr, new_value: Callable[[int], int]) -> list[PrimitiveStep] | None:
    """The steps of an integer instruction; None where NumPy runs it."""
    if instr.op.name == "qpool":
        return _pool(instr, new_value)
    if instr.op.name not in ("qconv", "qconv_add", "qlinear"):
        return None
    x, w, packed, scale, bias, out_scale, zero_x, *other = instr.operands
    if any(not o.spec.contiguous for o in instr.operands):
        return None
    kind = kind_of("qlinear" if instr.op.name == "qlinear" else "qconv", x.spec, w.spec, instr.attrs, other[0].spec.dtype if other else None)
    made = primitive(kind)
    if made is None:
        return None
    before, sources = [], {"src": _place(x), "bias": _place(bias), "scale:weights": _place(scale)}
    if instr.attrs[-1] is not None and instr.attrs[-1].desc == made.descs["weights"]:
        sources["weights"] = _place(packed)
    elif (plain := _plain_weights(kind)) == made.descs["weights"]:
        sources["weights"] = _place(w)
    else:
        again = new_value(made.descs["weights"].size)
        reorder = primitives.reorder(plain, made.descs["weights"])
        before.append(PrimitiveStep(Bound(reorder), {"src": _place(w)}, {"dst": (again, 0), **_scratch(reorder, new_value)}))
        sources["weights"] = (again, 0)
    if "scale:dst" in made.slots:
        sources["scale:dst"] = _place(out_scale)
    if kind.offset:
        sources["zero:src"] = _place(zero_x)
    if other:
        sources["post0"] = _place(other[0])
    bound = Bound(made)
    if "zero:dst" in made.slots:
        bound.zero = np.array([instr.attrs[-4]], np.int32)  # type: ignore[attr-defined]  # lives as long as the bound primitive
        bound.set("zero:dst", bound.zero.ctypes.data)  # type: ignore[attr-defined]
    work = 2 * prod(kind.out[1]) * prod(kind.w[1:]) // 4
    return [*before, PrimitiveStep(bound, sources, {"dst": (instr.results[0], 0), **_scratch(made, new_value)}, work)]


def _place(o: Operand) -> tuple[int, int]:
    return o.value, o.spec.offset * o.spec.dtype.itemsize


def _scratch(made: Primitive, new_value: Callable[[int], int]) -> dict[str, tuple[int, int]]:
    desc = made.descs.get("scratchpad")
    return {} if desc is None else {"scratchpad": (new_value(desc.size), 0)}


def _pool(instr: Instr, new_value: Callable[[int], int]) -> list[PrimitiveStep] | None:
    x, out = instr.operands[0], instr.outs[0]
    kind, kernel, stride, padding, _, count_pad, zero = instr.attrs
    if not library.available() or not x.spec.contiguous or not out.numel or not x.spec.numel:
        return None
    pads = [(p, max(0, window_end(n, o, k, s, 1, p))) for n, o, k, s, p in zip(x.spec.shape[1:-1], out.shape[1:-1], kernel, stride, padding)]
    even = all(a == b for a, b in pads)
    if kind == "avg" and count_pad and any(a or b for a, b in pads) and (zero or not even):
        return None  # oneDNN pads with zeros
    name = "max" if kind == "max" else "avg_include_padding" if count_pad else "avg_exclude_padding"
    try:
        made = primitives.pooling(_images(x.spec.shape, x.spec.dtype), _images(out.shape, out.dtype), Pool(stride, pads, (1,) * len(kernel), kernel, name),
                                  "inference")
    except OneDNNError:
        return None
    if made.reference:
        return None
    return [PrimitiveStep(Bound(made), {"src": _place(x)}, {"dst": (instr.results[0], 0), **_scratch(made, new_value)}, out.numel * prod(kernel))]
