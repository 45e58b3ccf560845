"""From a recorded program to the one that the code generator groups: coarse operations written out, doubles and copies gone."""

from __future__ import annotations

from typing import Any

from rushlight.exec.cpu import broadcasts, complex_pairs, dropout, fourier, pooled
from rushlight.exec.cpu.dropout import POSITION
from rushlight.exec.cpu.groups import mode_of
from rushlight.exec.cpu.instructions import Writer
from rushlight.exec.numpy import executor as numpy_executor
from rushlight.ir.dtype import HALF, float32, float64, int32, int64
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import Spec
from rushlight.ops.table import Op
from rushlight.passes import pipeline

# coarse operations that become generated loops, with the dimensions that their reductions remove
WRITTEN_OUT = frozenset(("gelu", "gelu_grad", "silu", "silu_grad", "hardtanh", "hardsigmoid", "hardswish", "batch_norm_given"))
ROWS = frozenset(("softmax", "softmax_grad", "log_softmax", "log_softmax_grad"))
FLOATS = ("float32", "float64")
CONVOLUTIONS = frozenset(("convolution", "convolution_bias", "convolution_input_grad", "convolution_weight_grad"))
ROWS_OF = {"sdpa": 3, "sdpa_grad": 4}  # operands of attention that have features

# a copy through a view with negative steps, of which no other pass needs to know
REVERSED = Op("reversed", "move", "x", lambda x: ((x.dtype, x.shape),), differentiable=False)
PICK = Op("pick", "index", "x index", lambda x, index: ((x.dtype, index.shape),), differentiable=False)  # x[i, index[i]], checked


def claims(instr: Instr) -> bool:
    """Whether an instruction stays as it is; else its decomposition takes its place."""
    name = instr.op.name
    if name in WRITTEN_OUT:
        return False
    if name in ROWS:
        x = instr.operands[0].spec
        return not (x.shape and x.numel and mode_of(x.shape, (instr.attrs[0] % len(x.shape),)) == "row")
    return numpy_executor.claims(instr)


def lower(program: Program) -> Program:
    """The passes of this executor in order."""
    program = complex_pairs.write_out(fourier.join(pipeline.lower(program, claims)))
    program = _once(_by_rows(program))
    program = pooled.rewrite(_without_copies(program))
    program = pipeline.drop_dead(broadcasts.apart(pipeline.drop_dead(program)))
    program.verify()
    return program


def _wide(o: Operand, shape: tuple[int, ...]) -> Operand:
    """An operand repeated to a shape."""
    wider = o.spec.expand(shape)
    assert wider is not None
    return Operand(o.value, wider)


def _column(o: Operand) -> Operand:
    """(n,) as (n, 1)."""
    return Operand(o.value, o.spec.at((*o.spec.shape, 1), (*o.spec.strides, 1)))


def _flat(o: Operand) -> Operand:
    """(n, 1) as (n,)."""
    return Operand(o.value, o.spec.at(o.spec.shape[:1], o.spec.strides[:1]))


def _by_rows(program: Program) -> Program:
    """Cross entropy, forward and backward, and the places of extremes, as loops over rows, dropout as loops; what several need is
    computed once."""
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    for instr in program.instrs:
        name = instr.op.name
        if name in LOSSES and _simple(instr):
            LOSSES[name](Writer(out, instr.line), instr)
        elif name in PLACES and _short_rows(instr):
            _place(Writer(out, instr.line), instr)
        elif name in ROWS_OF:
            out.instrs.append(_by_features(Writer(out, instr.line), instr))
        elif name in CONVOLUTIONS and instr.outs[0].dtype in HALF:
            _in_float32(Writer(out, instr.line), instr)
        elif name in dropout.NAMES and dropout.fits(instr):
            dropout.write(Writer(out, instr.line), instr)
        elif name == "sum" and _of_pairs(instr):
            _pairs(Writer(out, instr.line), instr)
        elif name == "flip" and instr.outs[0].numel:
            _flip(Writer(out, instr.line), instr)
        elif name == "arange" and _countable(instr):
            _range(Writer(out, instr.line), instr)
        else:
            out.instrs.append(instr)
    return out


def _by_features(w: Writer, instr: Instr) -> Instr:
    """Attention on operands whose features are adjacent in memory, which the others are copied to (a gradient that is one number)."""
    def adjacent(s: Any) -> bool:
        return bool(s.strides[-1] == 1 or s.shape[-1] == 1)
    return with_operands(instr, tuple([o if at >= ROWS_OF[instr.op.name] or adjacent(o.spec) else w("copy", o)
                                       for at, o in enumerate(instr.operands)]))


def _in_float32(w: Writer, instr: Instr) -> None:
    """A convolution of half precision in float32, rounded once."""
    wide = [w("cast", o, attrs=(float32,)) for o in instr.operands]
    w("cast", w(instr.op, *wide, attrs=instr.attrs), attrs=(instr.outs[0].dtype,), out=instr.results[0])


def _simple(instr: Instr) -> bool:
    """Whether logits and targets are of the kind that the loops handle."""
    at = 0 if instr.op.name in ("cross_entropy_rows", "cross_entropy_mean") else 1
    x, target = instr.operands[at].spec, instr.operands[at + 1].spec
    return x.dtype.name in FLOATS and target.dtype is int64 and bool(x.numel) and len(x.shape) == 2


def _softmax_parts(w: Writer, x: Operand) -> tuple[Operand, Operand, Operand]:
    """Row maxima, exp(x - maximum), and its row sums."""
    top = w("amax", x, attrs=((1,), True))
    e = w("exp", w("sub", x, _wide(top, x.spec.shape)))
    return top, e, w("sum", e, attrs=((1,), True))


def _targets(w: Writer, target: Operand, ignore: int) -> tuple[Operand, Operand]:
    """Which rows are ignored, and the class of each row, 0 for those."""
    skip = w("eq", target, w.number(ignore))
    return skip, w("where", skip, w.number(0), target)


def _rows(w: Writer, x: Operand, target: Operand, ignore: int, out: int | None = None) -> Operand:
    skip, index = _targets(w, target, ignore)
    top, _, total = _softmax_parts(w, x)
    chosen = w("sub", w(PICK, x, index), _flat(top))
    return w("where", skip, w.number(0.0), w("sub", _flat(w("log", total)), chosen), out=out)


def _count(w: Writer, x: Operand, target: Operand, ignore: int) -> Operand:
    return w("sum", w("cast", w("ne", target, w.number(ignore)), attrs=(x.spec.dtype,)), attrs=((0,), False))


def _grad(w: Writer, y: Operand, x: Operand, target: Operand, ignore: int, out: int) -> Operand:
    """(softmax(x) - one hot) * y per row."""
    shape = x.spec.shape
    _, e, total = _softmax_parts(w, x)
    skip, index = _targets(w, target, ignore)
    checked = w("where", w("isnan", w(PICK, x, index)), index, index)  # the check of the index, kept alive
    p = w("div", e, _wide(total, shape))
    factor = w("where", skip, w.number(0.0), y)
    hit = w("eq", w(POSITION, attrs=(shape,)), _wide(_column(w("cast", checked, attrs=(int32,))), shape))
    away = w("sub", p, w("cast", hit, attrs=(x.spec.dtype,)))
    return w("mul", away, _wide(_column(factor), shape), out=out)


def _loss_rows(w: Writer, i: Instr) -> None:
    x, target = i.operands
    _rows(w, x, target, i.attrs[0], i.results[0])


def _loss_mean(w: Writer, i: Instr) -> None:
    x, target = i.operands
    count = _count(w, x, target, i.attrs[0])
    w("div", w("sum", _rows(w, x, target, i.attrs[0]), attrs=((0,), False)), count, out=i.results[0])


def _loss_rows_grad(w: Writer, i: Instr) -> None:
    y, x, target = i.operands
    _grad(w, y, x, target, i.attrs[0], i.results[0])


def _loss_mean_grad(w: Writer, i: Instr) -> None:
    y, x, target = i.operands
    share = w("div", y, _count(w, x, target, i.attrs[0]))
    _grad(w, _wide(share, target.spec.shape), x, target, i.attrs[0], i.results[0])


SHORT = 512  # up to this length generated loops find a place faster than NumPy
# What an extreme is, for those that say where it stands. Not of max_dim: its value is the element at that place, and of zeros
# with different signs amax gives any.
PLACES = {"argmax": "amax", "argmin": "amin"}


def _short_rows(instr: Instr) -> bool:
    """Whether an extreme is looked for in short rows; in long ones NumPy is faster."""
    x, dims = instr.operands[0].spec, instr.attrs[0]
    last = len(x.shape) - 1
    return x.dtype.name in FLOATS and 0 <= last <= 1 and bool(x.numel) and x.shape[last] <= SHORT and dims == (last,)


def _place(w: Writer, i: Instr) -> None:
    """The first place of the extreme of each row, or of a NaN."""
    x, (dims, keepdim) = i.operands[0], i.attrs
    shape = x.spec.shape
    top = w(PLACES[i.op.name], x, attrs=(dims, True))
    place = w(POSITION, attrs=(shape,))
    found = w("where", w("eq", x, _wide(top, shape)), place, w.number(shape[-1]))
    first = w("amin", w("where", w("isnan", x), place, found), attrs=(dims, keepdim))
    w("cast", first, attrs=(int64,), out=i.results[0])


LEAST = 1 << 12  # numbers, from which on it pays to add up pairs side by side


def _of_pairs(instr: Instr) -> bool:
    """Whether two or three adjacent numbers are added up, many times: vectors along them would be mostly empty."""
    x, (dims, _) = instr.operands[0].spec, instr.attrs
    return x.dtype.name in FLOATS and x.numel >= LEAST and dims == (len(x.shape) - 1,) and x.shape[-1] in (2, 3)


def _pairs(w: Writer, i: Instr) -> None:
    """0 + x[…, 0] + x[…, 1] + …, which is the order of so few numbers (`rushlight.exec.order`)."""
    x = i.operands[0]
    *shape, count = x.spec.shape
    *strides, step = x.spec.strides
    if i.attrs[1]:
        shape, strides = [*shape, 1], [*strides, 1]
    total = w.number(0.0)
    for at in range(count):
        part = Operand(x.value, x.spec.at(tuple(shape), tuple(strides), x.spec.offset + at * step))
        total = w("add", part, total, out=i.results[0] if at == count - 1 else None)


def _countable(instr: Instr) -> bool:
    """Whether positions in 32 bits reach, and whole numbers come from whole numbers."""
    out = instr.outs[0]
    whole = all([getattr(o.spec, "kind", "") == "int" for o in instr.operands])
    return 0 < out.numel < 1 << 31 and (out.dtype.name in FLOATS or whole and out.dtype.name in ("int32", "int64"))


def _range(w: Writer, i: Instr) -> None:
    """start + step · position, in the widest type of its kind."""
    (start, step), out = i.operands, i.outs[0]
    place = w("cast", w(POSITION, attrs=(out.shape,)), attrs=(float64 if out.dtype.name in FLOATS else int64,))
    w("cast", w("add", w("mul", place, step), start), attrs=(out.dtype,), out=i.results[0])


def _flip(w: Writer, i: Instr) -> None:
    """A copy that reads backwards."""
    x, dims = i.operands[0], i.attrs[0]
    s = x.spec
    start = s.offset + sum([(s.shape[d] - 1) * s.strides[d] for d in dims])
    backwards = s.at(s.shape, tuple([-stride if d in dims else stride for d, stride in enumerate(s.strides)]), start)
    w(REVERSED, Operand(x.value, backwards), out=i.results[0])


LOSSES = {"cross_entropy_rows": _loss_rows, "cross_entropy_mean": _loss_mean, "cross_entropy_rows_grad": _loss_rows_grad,
          "cross_entropy_mean_grad": _loss_mean_grad}


def _once(program: Program) -> Program:
    """Every computation once: equal instructions on equal operands give one value."""
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    seen: dict[tuple[Any, ...], tuple[int, ...]] = {}
    names: dict[int, int] = {}
    kept = set(program.outputs)
    for instr in program.instrs:
        operands = renamed(instr.operands, names)
        attrs = instr.attrs and pipeline.hashable(instr.attrs)
        key = (instr.op, attrs, *[o.value for o in operands], *[o.spec for o in operands])
        if attrs is not None:
            same = seen.get(key)
            if same is None:
                seen[key] = instr.results
            elif instr.op.kind != "random" and kept.isdisjoint(instr.results):
                names.update(zip(instr.results, same))
                continue
        out.instrs.append(with_operands(instr, operands))
    return out


def renamed(operands: tuple[Operand, ...], names: dict[int, int]) -> tuple[Operand, ...]:
    """Operands by the new names of their values; the same tuple where none has one."""
    for o in operands:
        if o.value in names:
            return tuple([Operand(names.get(o.value, o.value), o.spec) for o in operands])
    return operands


def with_operands(instr: Instr, operands: tuple[Operand, ...]) -> Instr:
    """The instruction on other operands."""
    if operands is instr.operands:
        return instr
    return Instr(instr.op, operands, instr.attrs, instr.results, instr.outs, instr.line)


def _without_copies(program: Program) -> Program:
    """Without plain copies of intermediate values that nothing else keeps."""
    out = Program(program.inputs, [], program.outputs, program.donated, program.values)
    made: dict[int, Any] = {}
    names: dict[int, int] = {}
    outputs = set(program.outputs)
    for instr in program.instrs:
        operands = renamed(instr.operands, names)
        if instr.op.name == "copy" and _whole(operands[0], made) and operands[0].value not in outputs:
            names[instr.results[0]] = operands[0].value
            if instr.results[0] in outputs:
                outputs.add(operands[0].value)
            made[instr.results[0]] = made[operands[0].value]
            continue
        out.instrs.append(with_operands(instr, operands))
        made.update(zip(instr.results, instr.outs))
    out.outputs = tuple([names.get(v, v) for v in program.outputs])
    return out


def _whole(o: Operand, made: dict[int, Any]) -> bool:
    have = made.get(o.value)
    return isinstance(have, Spec) and o.spec.plain and o.spec.numel == have.numel and o.spec.dtype is have.dtype
