"""Pooling over images with channels last: maxima and means of windows, and their gradients, as kernels of their own.

Vectors run along the channels. A unit is one row of what the kernel writes: results forward, inputs backward, where every
input collects from the windows that it lies in, so that no two threads write to one place and sums have one order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.cells import constant
from rushlight.exec.cpu.code import Code
from rushlight.exec.cpu.host import vector_bytes
from rushlight.exec.cpu.scalars import FORMS
from rushlight.exec.cpu.steps import Address, KernelStep
from rushlight.ir.dtype import int32
from rushlight.ir.program import Instr
from rushlight.ir.spec import Spec, spec

Ints = tuple[int, ...]
UNROLLED = 4  # the longest side of a window that is written out
NAMES = ("max_pool", "max_pool_grad", "avg_pool", "avg_pool_grad")


def handles(instr: Instr) -> bool:
    """Whether an instruction is pooling of images, of a dtype that the kernels have."""
    if instr.op.name not in NAMES or instr.outs[0].dtype.name not in ("float32", "float64"):
        return False
    kernel = geometry(instr).kernel
    specs = [s for s in (*(o.spec for o in instr.operands), *instr.outs) if isinstance(s, Spec)]
    return all(s.numel and len(s.shape) == len(kernel) + 2 for s in specs)


@dataclass(frozen=True, slots=True)
class Geometry:
    """A kind of pooling with its window; ``positions`` is the dtype of the positions of maxima."""

    name: str
    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    dtype: str
    count_pad: bool = True
    divisor: int | None = None
    positions: str = "int64"
    whole: bool = False  # forward: every window lies inside the images, and is small


def geometry(instr: Instr) -> Geometry:
    """The window of a pooling instruction."""
    name, attrs, dtype = instr.op.name, instr.attrs, instr.outs[0].dtype.name
    if name == "max_pool":
        kernel, stride, padding, dilation = attrs[:4]
        return Geometry(name, kernel, stride, padding, dilation, dtype, positions=instr.outs[1].dtype.name)
    if name == "max_pool_grad":
        kernel, stride, padding, dilation = attrs[1:5]
        return Geometry(name, kernel, stride, padding, dilation, dtype, positions=instr.operands[1].spec.dtype.name)
    kernel, stride, padding, _, count_pad, divisor = attrs if name == "avg_pool" else attrs[1:]
    return Geometry(name, kernel, stride, padding, (1,) * len(kernel), dtype, count_pad, divisor)


def claim(instr: Instr, compact: bool) -> Instr:
    """The instruction as this file runs it; `compact` asks for positions of 32 bits."""
    if not compact or prod(instr.operands[0].spec.shape[2:]) >= 1 << 31:
        return instr
    return replace(instr, outs=(instr.outs[0], spec(int32, instr.outs[1].shape)))


def step(instr: Instr) -> KernelStep | None:
    """The kernel of a pooling instruction whose operands and results have channels last."""
    if not handles(instr) or not _last(instr):
        return None
    g = geometry(instr)
    x = instr.operands[0].spec.shape
    made = instr.outs[0].shape
    inner, outer = (x[2:], made[1:-1]) if g.name in ("max_pool", "avg_pool") else (made[1:-1], x[2:])
    if g.name in ("max_pool", "avg_pool") and prod(g.kernel) <= UNROLLED ** 2 and not any(g.padding) \
            and all((o - 1) * s + (k - 1) * d < n for n, o, k, s, d in zip(inner, outer, g.kernel, g.stride, g.dilation)):
        g = replace(g, whole=True)
    places = [o.value for o in instr.operands]
    slots: list[int | Address] = [*(Address(v) for v in (*places, *instr.results)), *inner, *outer, made[-1]]
    work = prod(made) * prod(g.kernel)
    return KernelStep(repr(g), lambda name: Pooling(g, name).text(), slots, made[0] * made[1], work, set(places), set(instr.results))


def _last(instr: Instr) -> bool:
    """Whether the layout pass has been here: the first operand's channels are adjacent."""
    s = instr.operands[0].spec
    return handles_shape(instr) and s.strides[1] in (0, 1) and not s.offset


def handles_shape(instr: Instr) -> bool:
    """Whether results have the permuted shape of the operands."""
    return len(instr.outs[0].shape) == len(instr.operands[0].spec.shape) and instr.outs[0].shape[-1] == instr.operands[0].spec.shape[1]


class Pooling(Code):
    """Writes one kernel. Slots: operands, results, sizes of the input, sizes of the output, channels."""

    def __init__(self, g: Geometry, name: str):
        super().__init__(name, vector_bytes() // 4)
        self.g = g
        self.forward = g.name in ("max_pool", "avg_pool")
        self.rank = len(g.kernel)
        self.apart = g.kernel == g.stride and not any(g.padding) and all(d == 1 for d in g.dilation) \
            and max(g.kernel) <= UNROLLED  # no input lies in two windows
        self.type = self.s.vector(g.dtype)

    def text(self) -> str:
        operands, results = {"max_pool": (1, 2), "max_pool_grad": (2, 1)}.get(self.g.name, (1, 1))
        self.operands = [self.pointer() for _ in range(operands)]
        self.results = [self.pointer() for _ in range(results)]
        self.input = [self.slot() for _ in range(self.rank)]
        self.output = [self.slot() for _ in range(self.rank)]
        self.channels = self.slot()
        self.loop(self.function.args[1], self.function.args[2], 1, self._row)
        self.b.ret(self.number(0))
        return str(self.module)

    def _row(self, unit: Any) -> None:
        """One index of the first spatial dimension, of one image."""
        sizes = self.output if self.forward else self.input
        self.image = self.b.udiv(unit, sizes[0])
        first = self.b.urem(unit, sizes[0])
        self._places([first], [self._range(0, first)], sizes)

    def _places(self, place: list[Any], ranges: list[tuple[Any, Any]], sizes: list[Any]) -> None:
        """Go through the other dimensions; with each index goes the range of taps or windows that belong to it."""
        d = len(place)
        if d == self.rank:
            write = getattr(self, f"_{self.g.name}")
            self.vectors(self.number(0), self.channels, lambda c, mask: write(place, ranges, c, mask))
        elif self.forward or not self.apart:
            self.loop(self.number(0), sizes[d], 1, lambda i: self._places([*place, i], [*ranges, self._range(d, i)], sizes))
        else:
            self._by_windows(place, ranges, sizes)

    def _range(self, d: int, place: Any) -> tuple[Any, Any]:
        """From one number up to another; (number, None) is that number alone, (None, n) 0 … n-1 written out."""
        if self.g.whole:
            return None, self.g.kernel[d]
        return self._taps(d, place) if self.forward else self._windows(d, place)

    def _by_windows(self, place: list[Any], ranges: list[tuple[Any, Any]], sizes: list[Any]) -> None:
        """Inputs of windows that do not overlap, window by window: no division says which; then those behind the last, which may be
        of a window that hangs over."""
        b, d = self.b, len(place)
        size = self.g.kernel[d]

        def window(w: Any) -> None:
            first = b.mul(w, self.number(size))
            for tap in range(size):
                self._places([*place, b.add(first, self.number(tap))], [*ranges, (w, None)], sizes)
        inside = self.least(self.output[d], b.udiv(sizes[d], self.number(size)))
        self.loop(self.number(0), inside, 1, window)
        rest = inside, self.output[d]
        self.loop(b.mul(inside, self.number(size)), sizes[d], 1, lambda i: self._places([*place, i], [*ranges, rest], sizes))

    # --- ranges ---------------------------------------------------------------------------------------------------
    def _taps(self, d: int, place: Any) -> tuple[Any, Any]:
        """The taps of a window that lie inside the image."""
        b, g = self.b, self.g
        step = g.dilation[d]
        start = self._start(d, place)
        low = self._ceil(b.neg(start), step)
        high = self._ceil(b.sub(self.input[d], start), step)
        return low, self.least(high, self.number(g.kernel[d]))

    def _start(self, d: int, place: Any) -> Any:
        return self.b.sub(self.b.mul(place, self.number(self.g.stride[d])), self.number(self.g.padding[d]))

    def _windows(self, d: int, place: Any) -> tuple[Any, Any]:
        """The windows that may hold an input."""
        b, g = self.b, self.g
        reach = b.add(place, self.number(g.padding[d]))
        low = self._ceil(b.sub(reach, self.number(g.dilation[d] * (g.kernel[d] - 1))), g.stride[d])
        high = b.add(b.udiv(reach, self.number(g.stride[d])), self.number(1))
        return low, self.least(high, self.output[d])

    def _ceil(self, x: Any, by: int) -> Any:
        """x / by rounded up, at least 0."""
        x = self.most(x, self.number(0))
        return x if by == 1 else self.b.udiv(self.b.add(x, self.number(by - 1)), self.number(by))

    # --- addressing -----------------------------------------------------------------------------------------------
    def _flat(self, place: list[Any], sizes: list[Any]) -> Any:
        """The position within the image."""
        at = place[0]
        for i, n in zip(place[1:], sizes[1:]):
            at = self.b.add(self.b.mul(at, n), i)
        return at

    def _address(self, base: Any, dtype: str, flat: Any, sizes: list[Any], c: Any) -> Any:
        total = sizes[0]
        for n in sizes[1:]:
            total = self.b.mul(total, n)
        at = self.b.add(self.b.mul(self.b.add(self.b.mul(self.image, total), flat), self.channels), c)
        return self.b.gep(base, [at], source_etype=self.s.memory(dtype))

    def _load(self, base: Any, dtype: str, flat: Any, sizes: list[Any], c: Any, mask: Any) -> Any:
        return self.s.load(self._address(base, dtype, flat, sizes, c), dtype, mask)

    def _store(self, value: Any, base: Any, dtype: str, flat: Any, sizes: list[Any], c: Any, mask: Any) -> None:
        self.s.store(value, self._address(base, dtype, flat, sizes, c), mask)

    def _nest(self, ranges: list[tuple[Any, Any]], body: Callable[[list[Any]], None], place: tuple[Any, ...] = ()) -> None:
        if len(place) == len(ranges):
            body(list(place))
            return
        low, high = ranges[len(place)]
        if high is None or low is None:
            for i in [low] if high is None else map(self.number, range(high)):
                self._nest(ranges, body, (*place, i))
            return
        self.loop(low, high, 1, lambda i: self._nest(ranges, body, (*place, i)))

    # --- kernels --------------------------------------------------------------------------------------------------
    def _max_pool(self, place: list[Any], ranges: list[tuple[Any, Any]], c: Any, mask: Any) -> None:
        """The greatest element: the first of equal ones; a NaN counts as greater than all."""
        b, g, dtype = self.b, self.g, self.g.dtype
        position = self.s.vector(g.positions)
        starts = [self._start(d, i) for d, i in enumerate(place)]

        def input_of(taps: list[Any]) -> Any:
            return self._flat([b.add(s, b.mul(t, self.number(g.dilation[d]))) for d, (s, t) in enumerate(zip(starts, taps))], self.input)
        first = self._narrow(input_of([self.number(0) if low is None else low for low, _ in ranges]))
        best = self.variable(self.type, constant(self.type, float("-inf")))
        where = self.variable(position, self.s.splat(first))

        def tap(taps: list[Any]) -> None:
            flat = input_of(taps)
            x = self._load(self.operands[0], dtype, flat, self.input, c, mask)
            old = b.load(best, typ=self.type)
            more = b.or_(b.fcmp_ordered(">", x, old), b.fcmp_unordered("uno", x, x))
            b.store(b.select(more, x, old), best)
            b.store(b.select(more, self.s.splat(self._narrow(flat)), b.load(where, typ=position)), where)
        self._nest(ranges, tap)
        out = self._flat(place, self.output)
        self._store(b.load(best, typ=self.type), self.results[0], dtype, out, self.output, c, mask)
        self._store(b.load(where, typ=position), self.results[1], g.positions, out, self.output, c, mask)

    def _narrow(self, position: Any) -> Any:
        return position if self.g.positions == "int64" else self.b.trunc(position, ir.IntType(32))

    def _max_pool_grad(self, place: list[Any], ranges: list[tuple[Any, Any]], c: Any, mask: Any) -> None:
        """Each input collects from the windows whose maximum it is."""
        b, g = self.b, self.g
        own = self._flat(place, self.input)
        mine = self.s.splat(self._narrow(own))

        def window(at: list[Any]) -> Any:
            flat = self._flat(at, self.output)
            positions = self._load(self.operands[1], g.positions, flat, self.output, c, mask)
            values = self._load(self.operands[0], g.dtype, flat, self.output, c, mask)
            return b.select(b.icmp_signed("==", positions, mine), values, constant(self.type, 0))
        self._collect(ranges, window, own, self.input, c, mask)

    def _avg_pool(self, place: list[Any], ranges: list[tuple[Any, Any]], c: Any, mask: Any) -> None:
        b = self.b
        starts = [self._start(d, i) for d, i in enumerate(place)]
        divisor = self.s.splat(self._divisor(place))

        def tap(taps: list[Any]) -> Any:
            flat = self._flat([b.add(s, t) for s, t in zip(starts, taps)], self.input)
            return self._load(self.operands[0], self.g.dtype, flat, self.input, c, mask)
        self._collect(ranges, tap, self._flat(place, self.output), self.output, c, mask, divisor)

    def _avg_pool_grad(self, place: list[Any], ranges: list[tuple[Any, Any]], c: Any, mask: Any) -> None:
        def window(at: list[Any]) -> Any:
            values = self._load(self.operands[0], self.g.dtype, self._flat(at, self.output), self.output, c, mask)
            return self.b.fdiv(values, self.s.splat(self._divisor(at)))
        self._collect(ranges, window, self._flat(place, self.input), self.input, c, mask)

    def _collect(self, ranges: list[tuple[Any, Any]], term: Callable[[list[Any]], Any], flat: Any, sizes: list[Any], c: Any, mask: Any,
                 divisor: Any = None) -> None:
        """The sum of a term over ranges, divided, as the result at one place."""
        b = self.b
        total = self.variable(self.type, constant(self.type, 0))
        self._nest(ranges, lambda at: b.store(b.fadd(b.load(total, typ=self.type), term(at)), total))
        value = b.load(total, typ=self.type)
        self._store(value if divisor is None else b.fdiv(value, divisor), self.results[0], self.g.dtype, flat, sizes, c, mask)

    def _divisor(self, place: list[Any]) -> Any:
        """What the sum of a window is divided by, as a scalar."""
        b, g = self.b, self.g
        scalar = FORMS[g.dtype][1]
        if g.divisor is not None:
            return ir.Constant(scalar, float(g.divisor))
        count = self.number(1)
        for d, i in enumerate(place):
            start = self._start(d, i)
            end = b.add(start, self.number(g.kernel[d]))
            if g.count_pad:
                size = b.sub(self.least(end, b.add(self.input[d], self.number(g.padding[d]))), start)
            else:
                size = b.sub(self.least(end, self.input[d]), self.most(start, self.number(0)))
            count = b.mul(count, size)
        return b.sitofp(count, scalar)

