"""Complex numbers as pairs of real ones: elementwise operations on them become loops over real and imaginary parts.

A value is put together in memory (by the operation `complex`) only where something reads it as complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.exec.cpu.instructions import Writer
from rushlight.ir.dtype import DType, float32, float64
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE, Op

Pair = tuple[Operand, Operand]
# numbers of a run
REAL_PART = Op("real part", "map", "x", lambda x: (), differentiable=False, numpy=lambda np, x: complex(x).real)
IMAGINARY_PART = Op("imaginary part", "map", "x", lambda x: (), differentiable=False, numpy=lambda np, x: complex(x).imag)


def write_out(program: Program) -> Program:
    """The program with complex numbers as pairs wherever that can be."""
    if not any([isinstance(s, Spec) and s.dtype.is_complex for i in program.instrs for s in (*i.outs, *[o.spec for o in i.operands])]):
        return program
    return _Pairs(program).run()


class _Pairs:
    def __init__(self, program: Program) -> None:
        self.source = program
        self.out = Program(program.inputs, [], program.outputs, program.donated, program.values)
        self.parts: dict[int, Pair] = {}  # of values that are in no memory yet, or were put together
        self.shapes: dict[int, Spec] = {}
        self.whole: set[int] = set()  # those that were put together

    def run(self) -> Program:
        for instr in self.source.instrs:
            if not self._by_parts(instr):
                self.out.instrs.append(Instr(instr.op, tuple([self._seen(o) for o in instr.operands]), instr.attrs, instr.results, instr.outs, instr.line))
        for v in self.source.outputs:
            self._put_together(v)
        return self.out

    def _by_parts(self, instr: Instr) -> bool:
        """Append an instruction on complex numbers as ones on their parts; False where there is no rule for it."""
        rule, out = RULES.get(instr.op.name), instr.outs[0]
        if rule is None or not isinstance(out, Spec) or not out.numel or not any([_is_complex(o.spec) for o in (*instr.operands, Operand(0, out))]):
            return False
        w = Writer(self.out, instr.line)
        operands = [self._pair(o) if _is_complex(o.spec) else self._seen(o) for o in instr.operands]
        found = rule(w, *operands, *instr.attrs)
        if not out.dtype.is_complex:
            w("copy", found, out=instr.results[0])
        else:
            self.parts[instr.results[0]], self.shapes[instr.results[0]] = found, out
        return True

    def _pair(self, o: Operand) -> Pair:
        """The parts of a complex operand: of its own, where it is all of a value that has them, else views of its memory."""
        parts, s = self.parts.get(o.value), o.spec
        if parts is not None and s.plain and s.shape == self.shapes[o.value].shape:
            return parts
        self._put_together(o.value)
        real = s.dtype.to_real()
        strides = tuple([2 * stride for stride in s.strides])
        re, im = (Operand(o.value, spec(real, s.shape, strides, 2 * s.offset + at)) for at in (0, 1))
        return re, im

    def _seen(self, o: Operand) -> Operand:
        """An operand of an operation that has no rule: one of the parts, or the value as it lies in memory."""
        whole = self.shapes.get(o.value)
        if whole is not None and o.value not in self.whole and isinstance(o.spec, Spec):
            s = o.spec
            if not s.dtype.is_complex and s.shape == whole.shape and s.strides == tuple([2 * stride for stride in whole.strides]) and s.offset in (0, 1):
                return self.parts[o.value][s.offset]
            self._put_together(o.value)
        return o

    def _put_together(self, value: int) -> None:
        if value in self.parts and value not in self.whole:
            self.whole.add(value)
            self.out.instrs.append(Instr(TABLE["complex"], self.parts[value], (), (value,), (self.shapes[value],)))


def _is_complex(s: Any) -> bool:
    return isinstance(s, Spec) and s.dtype.is_complex


# --- rules: operands are pairs, real tensors or Python numbers ------------------------------------------------------
def _both(w: Writer, x: Any) -> Pair:
    if isinstance(x, tuple):
        return x
    if getattr(x.spec, "kind", "") == "complex":
        return w.derived(REAL_PART, x, float), w.derived(IMAGINARY_PART, x, float)
    return x, w.number(0.0)


def _each(name: str) -> Callable[..., Pair]:
    """Parts for themselves."""
    def rule(w: Writer, *operands: Any) -> Pair:
        pairs = [_both(w, x) for x in operands]
        re, im = (w(name, *[p[at] for p in pairs]) for at in (0, 1))
        return re, im
    return rule


def _mul(w: Writer, x: Any, y: Any) -> Pair:
    (a, b), (c, d) = _both(w, x), _both(w, y)
    return w("sub", w("mul", a, c), w("mul", b, d)), w("add", w("mul", a, d), w("mul", b, c))


def _where(w: Writer, choice: Operand, x: Any, y: Any) -> Pair:
    (a, b), (c, d) = _both(w, x), _both(w, y)
    return w("where", choice, a, c), w("where", choice, b, d)


def _cast(w: Writer, x: Any, dtype: DType) -> Any:
    if not dtype.is_complex:  # the real part, and of both whether one is not zero
        return w("cast", x[0], attrs=(dtype,)) if dtype.name != "bool" else w("logical_or", *[w("ne", p, w.number(0.0)) for p in x])
    real = dtype.to_real()
    if isinstance(x, tuple):
        return tuple([w("cast", p, attrs=(real,)) for p in x])
    return w("cast", x, attrs=(real,)), w("full", w.number(0.0), attrs=(x.spec.shape, real))


def _equal(w: Writer, x: Any, y: Any) -> Operand:
    (a, b), (c, d) = _both(w, x), _both(w, y)
    return w("logical_and", w("eq", a, c), w("eq", b, d))


def _abs(w: Writer, x: Pair) -> Operand:
    """The root of the sum of squares: of float32 in double precision, where it cannot overflow, of float64 with the larger part taken
    out."""
    infinite = w("logical_or", *[w("isinf", p) for p in x])
    if x[0].spec.dtype is float32:
        a, b = (w("cast", p, attrs=(float64,)) for p in x)
        size = w("cast", w("sqrt", w("add", w("mul", a, a), w("mul", b, b))), attrs=(float32,))
    else:
        a, b = (w("abs", p) for p in x)
        high, low = w("maximum", a, b), w("minimum", a, b)
        ratio = w("div", low, w("where", w("eq", high, w.number(0.0)), w.number(1.0), high))
        size = w("mul", high, w("sqrt", w("add", w("mul", ratio, ratio), w.number(1.0))))
    return w("where", infinite, w.number(float("inf")), size)


def _sgn(w: Writer, x: Pair) -> Pair:
    size = _abs(w, x)
    none, infinite = w("eq", size, w.number(0.0)), w("isinf", size)

    def part(p: Operand) -> Operand:
        return w("where", infinite, w.number(float("nan")), w("where", none, p, w("div", p, size)))
    return part(x[0]), part(x[1])


def _flip(w: Writer, x: Pair, dims: tuple[int, ...]) -> Pair:
    return w("flip", x[0], attrs=(dims,)), w("flip", x[1], attrs=(dims,))


RULES: dict[str, Callable[..., Any]] = {
    "add": _each("add"), "sub": _each("sub"), "neg": _each("neg"), "mul": _mul, "where": _where, "cast": _cast, "eq": _equal,
    "flip": _flip, "copy": lambda w, x: x, "ne": lambda w, x, y: w("logical_not", _equal(w, x, y)), "abs": _abs, "sgn": _sgn, "complex": lambda w, re, im: (re, im),
    "conj": lambda w, x: (x[0], w("neg", x[1])), "real": lambda w, x: x[0], "imag": lambda w, x: x[1],
    "isnan": lambda w, x: w("logical_or", *[w("isnan", p) for p in x]), "isfinite": lambda w, x: w("logical_and", *[w("isfinite", p) for p in x]),
}
