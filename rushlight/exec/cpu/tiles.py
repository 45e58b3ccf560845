"""Products of matrices inside generated kernels: tiles of a few rows by four vectors, kept in registers.

A tile multiplies ``rows`` rows of A (any row stride) with a *panel* of B: for each k, up to four vectors lie together. A
`Pack` kernel writes panels. Every element is one chain of fused multiply-adds in the order of k, so its value depends
neither on the tile that it falls into nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.code import I64, KERNEL, POINTER, Code
from rushlight.exec.cpu.host import vector_bytes

I32 = ir.IntType(32)
WIDTH = 4  # vectors of a panel
REALS = {"float32": (ir.FloatType(), 4), "float64": (ir.DoubleType(), 8)}
NUMBERS = {**REALS, "int8": (ir.IntType(8), 1), "int16": (ir.IntType(16), 2), "int32": (I32, 4), "int64": (I64, 8)}


@dataclass(frozen=True)
class Form:
    """The number type of a kernel and how it fills the vector registers of this machine."""

    dtype: str

    def __str__(self) -> str:
        """What the code depends on."""
        return f"{self.dtype} x {self.lanes}"

    @property
    def real(self) -> Any:
        return NUMBERS[self.dtype][0]

    @property
    def size(self) -> int:
        return NUMBERS[self.dtype][1]

    @property
    def lanes(self) -> int:
        return vector_bytes() // self.size

    @property
    def vector(self) -> Any:
        return ir.VectorType(self.real, self.lanes)

    @property
    def rows(self) -> tuple[int, ...]:
        """The heights of tiles, largest first: as many as the registers hold."""
        return (6, 4, 2, 1) if vector_bytes() == 64 else (2, 1)

    @property
    def panel(self) -> int:
        """The columns of a panel of four adjacent vectors."""
        return WIDTH * self.lanes


def const(value: int) -> Any:
    return ir.Constant(I64, value)


class Vectors(Code):
    """A function that works on vectors of one `Form`."""

    def __init__(self, function: Any, form: Form):
        super().__init__(function.name, form.lanes, function)
        self.form = form

    def named(self, names: Sequence[str]) -> dict[str, Any]:
        """The slots of the argument block by name; those that begin with * are addresses."""
        words = {n: self.word(self.function.args[0], i) for i, n in enumerate(names)}
        return {n.lstrip("*"): self.b.inttoptr(w, POINTER) if n[0] == "*" else w for n, w in words.items()}

    def array(self, count: int) -> Any:
        """Stack memory for so many vectors."""
        with self.b.goto_entry_block():
            place = self.b.alloca(self.form.vector, count)
            place.align = 64
        return place

    def value(self, place: Any) -> Any:
        """What a variable of a vector holds."""
        return self.b.load(place, typ=self.form.vector)

    # --- memory ---------------------------------------------------------------------------------------------------
    def at(self, base: Any, offset: Any, type_: Any = None) -> Any:
        """The address of an element."""
        offset = const(offset) if isinstance(offset, int) else offset
        return self.b.gep(base, [offset], source_etype=type_ or self.form.real)

    def word(self, base: Any, index: Any) -> Any:
        """A 64-bit number from a table."""
        return self.b.load(self.at(base, index, I64), typ=I64)

    def load(self, place: Any, mask: Any = None) -> Any:
        if mask is None:
            value = self.b.load(place, typ=self.form.vector)
            value.align = self.form.size
            return value
        return self._masked("load", self.form.vector, place, ir.Constant(I32, self.form.size), mask, ir.Constant(self.form.vector, None))

    def store(self, value: Any, place: Any, mask: Any = None) -> None:
        if mask is None:
            self.b.store(value, place).align = self.form.size
        else:
            self._masked("store", ir.VoidType(), value, place, ir.Constant(I32, self.form.size), mask)

    def _masked(self, what: str, result: Any, *args: Any) -> Any:
        kind = "f" if self.form.dtype in REALS else "i"
        name = f"llvm.masked.{what}.v{self.form.lanes}{kind}{8 * self.form.size}.p0"
        found = self.b.module.globals.get(name) or ir.Function(self.b.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(found, args)

    def splat(self, scalar: Any) -> Any:
        type_ = ir.VectorType(scalar.type, self.form.lanes)
        one = self.b.insert_element(ir.Constant(type_, ir.Undefined), scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(one, ir.Constant(type_, ir.Undefined), ir.Constant(ir.VectorType(I32, self.form.lanes), None))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x · y + z, rounded once."""
        if self.form.dtype not in REALS:
            return self.b.add(self.b.mul(x, y), z)
        name = f"llvm.fma.v{self.form.lanes}f{8 * self.form.size}"
        found = self.b.module.globals.get(name) or ir.Function(self.b.module, ir.FunctionType(x.type, [x.type] * 3), name)
        return self.b.call(found, [x, y, z])

    def first(self, count: Any) -> Any:
        """The mask of the first `count` lanes."""
        return self.b.icmp_signed("<", self.iota, self.splat(count))

    def copy(self, source: Any, target: Any, count: Any) -> None:
        """Adjacent elements."""
        self.vectors(const(0), count, lambda v, mask: self.store(self.load(self.at(source, v), mask), self.at(target, v), mask))

    def zero(self) -> Any:
        return ir.Constant(self.form.vector, None)

    def real(self, value: float) -> Any:
        """A vector of one number."""
        return ir.Constant(self.form.vector, [ir.Constant(self.form.real, value)] * self.form.lanes)

    def pick(self, x: Any, y: Any, places: Sequence[int]) -> Any:
        """The lanes of two vectors, counted through both, at these places."""
        return self.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(places)), list(places)))

    def fold(self, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """All lanes combined, in halves; every lane of the result holds it."""
        lanes = self.form.lanes
        step = lanes // 2
        while step:
            vector = combine(vector, self.pick(vector, vector, [i ^ step for i in range(lanes)]))
            step //= 2
        return vector

    def transposed(self, rows: list[Any]) -> list[Any]:
        """A square block of vectors transposed, by interleaving its halves again and again."""
        lanes = len(rows)
        low = [i // 2 + (lanes if i % 2 else 0) for i in range(lanes)]
        high = [i + lanes // 2 for i in low]
        for _ in range(lanes.bit_length() - 1):
            rows = [self.pick(rows[i], rows[i + lanes // 2], places) for i in range(lanes // 2) for places in (low, high)]
        return rows

    def interleaved(self, vectors: list[Any]) -> list[Any]:
        """As many vectors: the first lanes of all of them, then the second ones, and so on."""
        lanes, found = self.form.lanes, []
        for i in range(len(vectors)):
            sources = [divmod(i * lanes + lane, len(vectors)) for lane in range(lanes)]  # (lane, vector)
            made = vectors[0]
            for j, vector in enumerate(vectors[1:], 1):
                made = self.pick(made, vector, [lanes + at if source == j else at if j == 1 else lane for lane, (at, source) in enumerate(sources)])
            found.append(made)
        return found

    def by_tiles(self, begin: Any, end: Any, body: Callable[[Any, int], None]) -> None:
        """body(first row, height) over rows in tiles of the heights that the form has."""
        for height in self.form.rows:
            begin = self.b.load(self.loop(begin, end, height, lambda i, h=height: body(i, h)), typ=I64)


Segment = tuple[int, ...]  # which of the four sums each vector of a panel goes to
ALL: Segment = (0, 1, 2, 3)


def tile(module: Any, name: str, form: Form, rows: int, segments: Sequence[Segment] = (ALL,), columns: bool = False, add: bool = False) -> Any:
    """void tile(out, row stride of out, then panel of B, A, stride of A, k of each segment): out[row][4 vectors] = Σ over segments of A · B.

    Segments are products one after the other that share the sums. The stride of A is that of its rows, or with ``columns``,
    where A comes transposed, that of k. With ``add`` the sums start from what out holds.
    """
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, *[POINTER, POINTER, I64, I64] * len(segments)]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    c = Vectors(function, form)
    out, step_out = function.args[:2]
    used = sorted({i for s in segments for i in s})
    starts = {(r, i): c.at(out, c.b.add(c.b.mul(step_out, const(r)), const(i * form.lanes))) for r in range(rows) for i in used}
    sums = {key: c.variable(form.vector, c.load(place) if add else c.zero()) for key, place in starts.items()}
    for n, segment in enumerate(segments):
        panel, a, stride, depth = function.args[2 + 4 * n:6 + 4 * n]
        place = c.variable(POINTER, panel)
        lines = [a]
        for _ in range(rows - 1):
            lines.append(c.at(lines[-1], const(1) if columns else stride))

        def step(k: Any, lines: list[Any] = lines, segment: Segment = segment, stride: Any = stride, place: Any = place) -> None:
            b = c.b.load(place, typ=POINTER)
            parts = [c.load(c.at(b, j * form.lanes)) for j in range(len(segment))]
            for r, line in enumerate(lines):
                x = c.splat(c.b.load(c.at(line, c.b.mul(k, stride) if columns else k), typ=form.real))
                for i, part in zip(segment, parts):
                    c.b.store(c.fma(x, part, c.value(sums[r, i])), sums[r, i])
            c.b.store(c.at(b, len(segment) * form.lanes), place)
        c.loop(const(0), depth, 1, step)
    for key, s in sums.items():
        c.store(c.value(s), starts[key])
    c.b.ret_void()
    return function


def tiles(module: Any, form: Form, name: str = "tile", **options: Any) -> dict[int, Any]:
    """A tile function for each height."""
    return {rows: tile(module, f"{name}{rows}", form, rows, **options) for rows in form.rows}


# --- packing ------------------------------------------------------------------------------------------------------
PACK_SLOTS = ("numbers", "*target", "*source", "depth", "k_stride", "unit_stride", "group_stride", "units", "step", "group_step")


def pack_kernel(form: Form, groups: int, way: str, name: str) -> str:
    """A kernel that writes panels; its units are panels.

    Panel p holds for each k < depth ``groups`` vectors; lane u of vector g is source[k·k_stride + g·group_stride +
    (p·step + u)·unit_stride], zero where p·step + g·group_step + u ≥ units. The way: ``k`` where k_stride is 1, ``units``
    where unit_stride is 1, else ``any``.
    """
    module = ir.Module(name)
    function = ir.Function(module, KERNEL, name)
    c = Vectors(function, form)
    slot = c.named(PACK_SLOTS)
    target, source = slot["target"], slot["source"]
    mul, add = c.b.mul, c.b.add
    line = const(groups * form.lanes)  # elements of a panel for one k

    def panel(p: Any) -> None:
        start = c.at(target, mul(p, mul(slot["depth"], line)))
        first = mul(p, slot["step"])
        for g in range(groups):
            inside = c.b.sub(slot["units"], add(first, mul(slot["group_step"], const(g))))
            group = c.at(source, add(mul(slot["group_stride"], const(g)), mul(first, slot["unit_stride"])))
            WAYS[way](c, slot, group, c.at(start, g * form.lanes), line, inside)
    c.loop(function.args[1], function.args[2], 1, panel)
    c.b.ret(const(0))
    return str(module)


def _pack_units(c: Vectors, slot: dict[str, Any], group: Any, out: Any, line: Any, inside: Any) -> None:
    """Vectors copied as they are."""
    mask = c.first(inside)
    c.loop(const(0), slot["depth"], 1, lambda k: c.store(c.load(c.at(group, c.b.mul(k, slot["k_stride"])), mask), c.at(out, c.b.mul(k, line))))


def _pack_k(c: Vectors, slot: dict[str, Any], group: Any, out: Any, line: Any, inside: Any) -> None:
    """Square blocks transposed."""
    b, lanes = c.b, c.form.lanes

    def block(k: Any, left: Any) -> None:
        rows = []
        for u in range(lanes):
            count = b.select(b.icmp_signed("<", const(u), inside), const(lanes) if left is None else left, const(0))
            rows.append(c.load(c.at(group, b.add(b.mul(const(u), slot["unit_stride"]), k)), c.first(count)))
        for i, vector in enumerate(c.transposed(rows)):
            place = c.at(out, b.mul(b.add(k, const(i)), line))
            if left is None:
                c.store(vector, place)
            else:
                with b.if_then(b.icmp_signed("<", const(i), left)):
                    c.store(vector, place)
    end = b.load(c.loop(const(0), slot["depth"], lanes, lambda k: block(k, None)), typ=I64)
    with b.if_then(b.icmp_signed("<", end, slot["depth"])):
        block(end, b.sub(slot["depth"], end))


def _pack_any(c: Vectors, slot: dict[str, Any], group: Any, out: Any, line: Any, inside: Any) -> None:
    """Element by element."""
    b = c.b

    def lane(u: Any) -> None:
        def element(k: Any) -> None:
            value = c.variable(c.form.real, ir.Constant(c.form.real, 0.0))
            with b.if_then(b.icmp_signed("<", u, inside)):
                offset = b.add(b.mul(k, slot["k_stride"]), b.mul(u, slot["unit_stride"]))
                b.store(b.load(c.at(group, offset), typ=c.form.real), value)
            b.store(b.load(value, typ=c.form.real), c.at(out, b.add(b.mul(k, line), u)))
        c.loop(const(0), slot["depth"], 1, element)
    c.loop(const(0), const(c.form.lanes), 1, lane)


WAYS: dict[str, Callable[..., None]] = {"k": _pack_k, "units": _pack_units, "any": _pack_any}
