"""Convolutions as oneDNN primitives: images with channels last, weights in the layout that oneDNN chooses."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from rushlight.exec.cpu import choices
from rushlight.exec.cpu.onednn import library, openmp, primitives
from rushlight.exec.cpu.onednn.library import OneDNNError
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import Attributes, Bound, Primitive
from rushlight.exec.cpu.onednn.primitives import Window, grouped, window_end
from rushlight.exec.cpu.packing import Variant
from rushlight.exec.cpu.steps import PrimitiveStep
from rushlight.ir.dtype import float32
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec
from rushlight.ops.table import TABLE, Op

# operands that are images; the others are weights or a bias
IMAGES = {"convolution": (0,), "convolution_bias": (0,), "convolution_bias_relu": (0,), "convolution_relu": (0,),
          "convolution_input_grad": (0,), "convolution_weight_grad": (0, 1)}


def _with_relu(name: str) -> Op:
    """A convolution with the relu that follows it."""
    def run(np: Any, *args: Any) -> Any:
        from rushlight.exec.numpy import conv
        return np.maximum(getattr(conv, name)(*args), 0)
    row = TABLE[name]
    return Op(f"{name}_relu", "contract", " ".join(row.inputs), row.shape, attrs=" ".join(row.attrs), numpy=run, differentiable=False)


RELU = {name: _with_relu(name) for name in ("convolution", "convolution_bias")}
# slots of the primitive that the operands fill, then that of the result
SLOTS = {"convolution_input_grad": ("diff_dst", "weights", "diff_src"), "convolution_weight_grad": ("diff_dst", "src", "diff_weights"),
         "convolution_bias": ("src", "weights", "bias", "dst"), "convolution_bias_relu": ("src", "weights", "bias", "dst")}
FORWARD = ("src", "weights", "dst")
BACKWARD = ("convolution_input_grad", "convolution_weight_grad")
IMPLEMENTATIONS = 3  # of oneDNN that are tried


def handles(instr: Instr) -> bool:
    """Whether an instruction is a convolution of a kind that oneDNN may have."""
    return instr.op.name in IMAGES and library.available() and bool(instr.outs[0].numel) \
        and all(isinstance(o.spec, Spec) and o.spec.dtype is float32 and o.spec.numel for o in instr.operands)


def claim(instr: Instr, operands: tuple[Operand, ...]) -> Instr | None:
    """The instruction with its primitive as the only attribute, or None where oneDNN has no fast one."""
    try:
        primitive = _primitive(instr, operands)
    except OneDNNError:
        return None
    return None if primitive.reference else replace(instr, operands=operands, attrs=(Claim(instr, primitive),))


class Claim:
    """A primitive with the convolution that it computes, which has the shapes as the program sees them."""

    def __init__(self, instr: Instr, primitive: Primitive):
        self.instr, self.primitive = instr, primitive

    def __repr__(self) -> str:
        return repr(self.primitive)


def steps(instr: Instr, new_value: Callable[[int], int], lasting: AbstractSet[int] = frozenset()) -> list[PrimitiveStep] | None:
    """The steps of a claimed convolution: reorders of weights, and the primitive. `lasting` are inputs that the plan does not replace."""
    if not instr.attrs or not isinstance(instr.attrs[0], Claim):
        return None
    original, primitive = instr.attrs[0].instr, instr.attrs[0].primitive
    *given, out = SLOTS.get(original.op.name, FORWARD)
    groups = original.attrs[-1]
    before: list[PrimitiveStep] = []
    variant = None
    sources = {}
    for slot, o in zip(given, instr.operands):
        sources[slot] = (o.value, o.spec.offset * 4)
        own = _plain(grouped(o.spec.shape, groups)) if slot == "weights" else None
        if own is not None and own != primitive.descs[slot]:
            packed = new_value(primitive.descs[slot].size)
            before.append(_reorder(own, primitive.descs[slot], sources[slot], packed, new_value))
            if o.value in lasting:
                variant = Variant(o.value, o.spec.offset * 4, Bound(primitive), Bound(before[0].bound.primitive))
            sources[slot] = (packed, 0)
    result, after = instr.results[0], []
    if out == "diff_weights" and (plain := _plain(grouped(original.outs[0].shape, groups))) != primitive.descs[out]:
        packed = new_value(primitive.descs[out].size)
        after.append(_reorder(primitive.descs[out], plain, (packed, 0), result, new_value))
        result = packed
    _, w, y = _shapes(original)
    work = 2 * prod(y) * prod(w[1:])
    step = PrimitiveStep(Bound(primitive), sources, {out: (result, 0), **_scratch(primitive, new_value)}, work)
    if variant is not None:
        step.variant, step.packs = variant, before[0]
    return [*before, step, *after]


def _reorder(source: Desc, target: Desc, place: tuple[int, int], result: int, new_value: Callable[[int], int]) -> PrimitiveStep:
    primitive = primitives.reorder(source, target)
    return PrimitiveStep(Bound(primitive), {"src": place}, {"dst": (result, 0), **_scratch(primitive, new_value)})


def _scratch(primitive: Primitive, new_value: Callable[[int], int]) -> dict[str, tuple[int, int]]:
    desc = primitive.descs.get("scratchpad")
    return {} if desc is None else {"scratchpad": (new_value(desc.size), 0)}


def _plain(shape: tuple[int, ...]) -> Desc:
    return Desc.of(shape, float32)


def _images(shape: tuple[int, ...]) -> Desc:
    """A dense layout with channels last."""
    from rushlight.exec.cpu.onednn.memory import strides_of
    return Desc.of(shape, float32, strides_of(shape, (0, *range(2, len(shape)), 1)))


def _shapes(instr: Instr) -> tuple[Any, Any, Any]:
    """Of the images, the weights and the convolved images."""
    first, second, out = instr.operands[0].spec.shape, instr.operands[1].spec.shape, instr.outs[0].shape
    return {"convolution_input_grad": (out, second, first), "convolution_weight_grad": (second, out, first)}.get(
        instr.op.name, (first, second, out))


def _primitive(instr: Instr, operands: tuple[Operand, ...]) -> Primitive:
    """The fastest primitive for a convolution."""
    key = f"{instr.op.name} {[o.spec.shape for o in operands]} {instr.outs[0].shape} {instr.attrs} {openmp.threads()}"
    number = choices.known(key)
    if number is not None:
        return _made(instr, operands, number)
    made = _implementations(instr, operands)
    return made[choices.fastest(key, [_runner(p) for p in made])]


def _implementations(instr: Instr, operands: tuple[Operand, ...]) -> list[Primitive]:
    """The first implementations that oneDNN offers, without plain loops."""
    made = [_made(instr, operands, 0)]
    for skip in range(1, IMPLEMENTATIONS):
        try:
            made.append(_made(instr, operands, skip))
        except OneDNNError:
            break
        if made[-1].reference or "avx512" not in made[-1].impl:
            made.pop()
            break
    return made


def _runner(primitive: Primitive) -> Callable[[], None]:
    """A function that runs a primitive on memory of its own."""
    bound, memory = Bound(primitive), []
    for name, desc in primitive.descs.items():
        raw = np.zeros(desc.size + 64, np.uint8)
        memory.append(raw)
        bound.set(name, raw.ctypes.data + -raw.ctypes.data % 64)

    def run() -> None:
        bound.execute()
    run.memory = memory  # type: ignore[attr-defined]
    return run


def _made(instr: Instr, operands: tuple[Operand, ...], skip: int) -> Primitive:
    """The primitive for a convolution with so many implementations passed over."""
    stride, padding, dilation, groups = instr.attrs[-4:]
    x, w, y = _shapes(instr)
    pads = tuple([(p, window_end(n, o, k, s, d, p)) for n, o, k, s, d, p in zip(x[2:], y[2:], w[2:], stride, dilation, padding)])
    biased = instr.op.name.startswith("convolution_bias")
    return _kept(instr.op.name, x, grouped(w, groups), y, (tuple(stride), pads, tuple(dilation)), biased, skip, openmp.threads())


@lru_cache(64)  # networks repeat their shapes, and backward primitives want the forward one as a hint
def _kept(name: str, x: Any, w: Any, y: Any, windows: Any, biased: bool, skip: int, threads: int) -> Primitive:
    place = 0  # among all that oneDNN offers
    while True:
        primitive = _built(name, x, w, y, windows, biased, place, threads)
        skip -= not _wrong(primitive, x, w, y, windows)
        if skip < 0:
            return primitive
        place += 1


def _wrong(primitive: Primitive, x: Any, w: Any, y: Any, windows: Any) -> bool:
    """Whether an implementation leaves its memory, or computes something else (oneDNN 3.2; the second one in 3.12 as well): what it
    writes beyond is another thread's, or ours."""
    stride, pads, dilation = windows
    if primitive.impl.startswith("jit_1x1"):  # pixels that a stride picks out are gathered by whole vectors, in scratch memory for the channels alone
        return max(stride) > 1 and bool(x[1] % 16 or y[1] % 16)
    if primitive.impl.startswith("jit:avx512") and "diff_weights" in primitive.descs and len(x) == 5 and 1 < stride[0] < pads[0][0]:
        reach = dilation[0] * (w[-3] - 1) + 1  # several windows begin in front of the volume, and none lies within it
        return not any([at >= 0 and at + reach <= x[2] for at in range(-pads[0][0], y[2] * stride[0] - pads[0][0], stride[0])])
    return False


def _built(name: str, x: Any, w: Any, y: Any, windows: Any, biased: bool, place: int, threads: int) -> Primitive:
    weights, window = Desc.any(w, float32), Window(*windows)
    attributes = Attributes(skip=place)
    if name in BACKWARD:
        hint = _kept("convolution", x, w, y, windows, False, 0, threads)
        if name == "convolution_input_grad":
            return primitives.convolution_backward_data(_images(x), weights, _images(y), window, hint, attributes)
        return primitives.convolution_backward_weights(_images(x), weights, _images(y), window, None, hint, attributes)
    return primitives.convolution(_images(x), weights, _images(y), window, _plain(y[1:2]) if biased else None, attributes=attributes)
