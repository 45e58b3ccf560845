"""Dropout and random masks as loops: every element draws its own number (`rushlight.exec.splitmix`), wherever it is computed."""

from __future__ import annotations

from typing import Any

from rushlight.exec.splitmix import GOLDEN, signed
from rushlight.ir.dtype import float32, int32, int64
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import Op

NAMES = frozenset(("dropout", "random_mask"))
POSITION = Op("position", "index", "", lambda shape: ((int32, shape),), attrs="shape", differentiable=False)  # the column of each element
# a number in [0, 1) for each element, from the first counter of its row. It is drawn anew wherever it is needed: its kind keeps equal
# ones apart, whose value would have to be kept in memory
DRAW = Op("splitmix", "random", "start", lambda start, shape: ((float32, shape),), attrs="shape", differentiable=False)
# numbers of a run, computed before it
COUNTER = Op("first counter", "map", "seed", lambda seed: (), differentiable=False, numpy=lambda np, seed: signed(int(seed) + GOLDEN))
SCALE = Op("kept scale", "map", "p", lambda p: (), differentiable=False, numpy=lambda np, p: 1 / (1 - p) if p < 1 else 0.0)


def fits(instr: Instr) -> bool:
    """Whether an instruction can be loops: positions in 32 bits reach, and half precision stays with NumPy."""
    out = instr.outs[0]
    return bool(out.shape) and 0 < out.numel < 1 << 31 and (instr.op.name == "random_mask" or out.dtype.name in ("float32", "float64"))


def write(w: Any, instr: Instr) -> None:
    """Append the loops."""
    if instr.op.name == "random_mask":
        p, seed = instr.operands
        _keep(w, p, seed, instr.outs[0].shape, instr.results[0])
        return
    x, p, seed = instr.operands
    keep = _keep(w, p, seed, instr.outs[0].shape, instr.results[1])
    w("where", keep, w("mul", x, w.derived(SCALE, p, float)), w.number(0.0), out=instr.results[0])


def _keep(w: Any, p: Operand, seed: Operand, shape: tuple[int, ...], out: int) -> Operand:
    """Which elements are kept. An element's counter is the first one of its row and, for each column before it, the golden ratio."""
    *lead, columns = shape
    rows = spec(int64, tuple(lead)).numel
    start = w.derived(COUNTER, seed, int)
    if rows > 1:
        row = w("mul", w("cast", w(POSITION, attrs=((rows,),)), attrs=(int64,)), w.number(signed(GOLDEN * columns)))
        own = w("add", row, start)
        start = Operand(own.value, _repeated(own.spec, shape))
    return w("ge", w(DRAW, start, attrs=(shape,)), p, out=out)  # type: ignore[no-any-return]


def _repeated(rows: Spec, shape: tuple[int, ...]) -> Spec:
    """One number for each row, repeated along the columns."""
    strides = spec(int64, (*shape[:-1], 1)).strides
    return rows.at(shape, (*strides[:-1], 0))
