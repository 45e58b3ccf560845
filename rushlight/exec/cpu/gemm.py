"""Matrix products as steps of the generated kernel: how operands are read, and how a product is cut into blocks and units.

Nothing here changes a bit of a result, since every sum is one chain in the order of k (`gemm_kernels`): not the blocks, not
what is packed, not the number of threads. What was measured (2 MiB of second-level cache for two cores, AVX-512, float64):
B packed in blocks of 256 × 256 and A read where it lies runs at 95 to 100 % of the peak from 256³ on; A packed as well is 3 %
slower, except columns of large matrices (1024³: a third faster); B in place is 5 to 15 % faster while it fits into the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np

from rushlight.exec import order, threads
from rushlight.exec.cpu import gemm_kernels as kernels
from rushlight.exec.cpu import matvec_kernels as matvec
from rushlight.exec.cpu import packing, panels, small_kernels
from rushlight.exec.cpu.gemm_code import SUMS, narrow, paired
from rushlight.exec.cpu.gemm_packing import GAP
from rushlight.exec.cpu.gemm_slots import ALONG_K, ANY, DIRECT, SLOTS, UNITS
from rushlight.exec.cpu.steps import Address, KernelStep, Table
from rushlight.exec.cpu.tiles import Form
from rushlight.ir.program import Instr, Operand
from rushlight.ir.spec import Spec
from rushlight.passes.recent import Recent

Array = np.ndarray[Any, Any]
BLOCK_K, BLOCK_BYTES = 256, 1 << 19  # of a packed block of B; narrow blocks are deeper
STRIP_BYTES = 24 << 10  # of as many rows of A as a tile has: half of the first cache
BLOCK_ROWS = 192  # of a packed block of A
IN_PLACE = 1 << 20  # bytes of B that are read where they lie, by few rows or many
FEW_ROWS = 24
DEEP = 512  # columns of A as long as this are packed
CYCLE = 4  # multiply-adds of vectors are counted as so many operations of a loop: cycles, about
UNITS_PER_THREAD = 16
CACHE_BYTES = 32  # that two cycles bring from the cache, for products that do nothing but read
FEWEST_ROWS, SHORT = 4, 64  # rows that do not pay for packing, and sums too short to be cut into lanes


ONE_START = np.zeros(1, np.int64)


@cache
def _form(dtype: str) -> Form:
    return Form(SUMS[dtype])


@lru_cache(64)
def _slot_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([n.lstrip("*") for n in names])


@dataclass(frozen=True, slots=True)
class Matrices:
    """Matrices of one operand: where the first begins and each of them after it, and the strides of rows and columns, in elements."""

    value: int
    start: int
    starts: Array
    rows: int
    columns: int


@dataclass(slots=True)
class Kept:
    """The step of all products of one form, and the bytes of the memory that it needs beside operands and result."""

    step: KernelStep
    rooms: list[int]


_kept: Recent[Kept] = Recent(512)


def steps(instr: Instr, new_value: Callable[[int], int], lasting: AbstractSet[int] = frozenset()) -> list[KernelStep] | None:
    """The step of a product, None where the kernel has no code for it. `lasting` are inputs that the plan does not replace."""
    out = instr.outs[0]
    if instr.op.name not in _names() or out.dtype.name not in SUMS or not out.numel:
        return None
    if any([not isinstance(o.spec, Spec) or o.spec.dtype is not out.dtype for o in instr.operands]):
        return None
    position: dict[int, int] = {}
    places = [(position.setdefault(o.value, len(position)), o.spec) for o in instr.operands]
    key = (instr.op, out, threads.count(), *places, *[v in lasting for v in position])
    kept = _kept.get(key)
    if kept is None:
        kept = _step_of(instr, position, frozenset([i for v, i in position.items() if v in lasting]))
        if kept is None:
            return None
        _kept.put(key, kept)
    return [kept.step.on([*position, instr.results[0], *[new_value(size) for size in kept.rooms]])]


def _step_of(instr: Instr, position: dict[int, int], lasting: AbstractSet[int]) -> Kept | None:
    """The step on the positions of its operands, then its result, then further memory."""
    operands = tuple([Operand(position[o.value], o.spec) for o in instr.operands])
    instr = Instr(instr.op, operands, instr.attrs, (len(position),), instr.outs, instr.line)
    rooms: list[int] = []

    def room(size: int) -> int:
        rooms.append(size)
        return len(position) + len(rooms)
    product = _matmul(instr) if instr.op.name == "matmul" else _linear(instr)
    return None if product is None else Kept(product.step(room, lasting), rooms)


@cache
def _names() -> frozenset[str]:
    """The operations that are products."""
    from rushlight.exec.cpu.products import NAMES, RELU_OF
    return NAMES | frozenset(RELU_OF)


def _linear(instr: Instr) -> Product | None:
    """x · wᵀ + b, in which all dimensions of x but the last are rows."""
    x, w = instr.operands[0], instr.operands[1]
    k, n, rows = x.spec.shape[-1], w.spec.shape[0], prod(x.spec.shape[:-1])
    flat = x.spec.reshape((rows, k))
    turned = Operand(w.value, w.spec.permute((1, 0)))
    bias = instr.operands[2] if len(instr.operands) > 2 else None
    if bias is not None and not bias.spec.contiguous:
        return None
    if flat is None:  # rows that lie here and there
        batch, m = x.spec.shape[:-2], x.spec.shape[-2]
        return Product(instr, m, n, k, prod(batch), _matrices(x, batch), _matrices(turned, batch), bias)
    return Product(instr, rows, n, k, 1, _matrices(Operand(x.value, flat)), _matrices(turned), bias)


def _matmul(instr: Instr) -> Product:
    x, y = instr.operands
    (m, k), n = x.spec.shape[-2:], y.spec.shape[-1]
    batch = instr.outs[0].shape[:-2]
    if prod(y.spec.shape[:-2]) == 1 and prod(batch) > 1:  # one matrix for all: the batch is rows
        flat = x.spec.reshape((prod(x.spec.shape[:-1]), k))
        if flat is not None:
            return Product(instr, flat.shape[0], n, k, 1, _matrices(Operand(x.value, flat)), _matrices(y))
    if n == 1 and m > 1:  # vectors run along the rows instead
        return Product(instr, 1, m, k, prod(batch), _matrices(y, batch, True), _matrices(x, batch, True))
    return Product(instr, m, n, k, prod(batch), _matrices(x, batch), _matrices(y, batch))


def _matrices(o: Operand, batch: tuple[int, ...] = (), turned: bool = False) -> Matrices:
    s = o.spec
    row, column = reversed(s.strides[-2:]) if turned else s.strides[-2:]
    if not batch:
        return Matrices(o.value, s.offset, ONE_START, row, column)
    starts = np.zeros((1,) * len(batch), np.int64)
    for d, (size, stride) in enumerate(zip(reversed(s.shape[:-2]), reversed(s.strides[:-2])), 1):
        if len(batch) >= d:
            starts = starts + (np.arange(size) * stride).reshape(size, *[1] * (d - 1))
    return Matrices(o.value, s.offset, np.ascontiguousarray(np.broadcast_to(starts, batch).reshape(-1)), row, column)


@dataclass(slots=True)
class Product:
    """out[z] = a[z] · b[z] + bias for `batch` matrices of m × n sums over k."""

    instr: Instr
    m: int
    n: int
    k: int
    batch: int
    a: Matrices
    b: Matrices
    bias: Operand | None = None

    @property
    def dtype(self) -> str:
        return self.instr.outs[0].dtype.name

    @property
    def form(self) -> Form:
        return _form(self.dtype)

    def a_way(self) -> int:
        """How A is read: columns of large matrices are packed, else it lies well however it lies."""
        if narrow(self.dtype):
            return _packing(self.a.rows, self.a.columns)
        large = self.k >= DEEP and self.m * self.k * self.form.size > IN_PLACE and self.n > self.form.panel
        return UNITS if large and self.a.rows == 1 and self.a.columns != 1 else DIRECT

    def b_way(self) -> int:
        """How B is read: in place while few rows use it or it is small."""
        if not narrow(self.dtype) and self.b.columns == 1 and (self.m <= FEW_ROWS or self.k * self.n * self.form.size <= IN_PLACE):
            return DIRECT
        return _packing(self.b.columns, self.b.rows)

    def sizes(self) -> dict[str, int]:
        """The blocks and units of the kernel."""
        form = self.form
        high, wide = form.rows[0], form.panel
        a_way, b_way = self.a_way(), self.b_way()
        column_parts, row_parts = self.parts()
        unit_rows, unit_columns = _share(self.m, row_parts, high), _share(self.n, column_parts, wide)
        most = self.deepest() if narrow(self.dtype) else min(max(BLOCK_K, BLOCK_BYTES // (unit_columns * form.size)), STRIP_BYTES // (high * form.size))
        k_blocks = max(1, -(-self.k // most))
        block_k = -(-self.k // k_blocks)
        block_k += block_k % 2  # pairs stay together
        together = max(1, 2 * BLOCK_ROWS // unit_rows) if self.partial() else -(-self.m // unit_rows)
        block_columns = min(unit_columns, max(wide, BLOCK_BYTES // (max(BLOCK_K, block_k) * form.size) // wide * wide))
        return {"m": self.m, "n": self.n, "k": self.k, "unit_rows": unit_rows, "unit_columns": unit_columns,
                "row_parts": -(-self.m // unit_rows), "column_parts": -(-self.n // unit_columns), "together": together,
                "block_rows": together * unit_rows if a_way == DIRECT else min(together * unit_rows, BLOCK_ROWS), "block_columns": block_columns,
                "block_k": block_k, "k_blocks": k_blocks, "a_way": a_way, "b_way": b_way}

    def parts(self) -> tuple[int, int]:
        """Into how many parts columns and rows are cut, so that threads have units to share.

        While A fits into the cache, columns are cut first: then nothing is packed twice. A larger A is cut into rows, and each
        thread packs B for the rows that it gets. Gradients of weights that need no packing are cut into rows as well: an
        optimizer's update goes through them in this order, and each thread finds what it wrote.
        """
        rows, panels, count = -(-self.m // self.form.rows[0]), -(-self.n // self.form.panel), threads.count()
        want = -(-count * UNITS_PER_THREAD // self.batch) if count > 1 else 1
        if self.partial() or (self.m * self.k * self.form.size > IN_PLACE and self.m >= 2 * BLOCK_ROWS):
            return 1, min(rows, want)
        if self.a.rows == 1 and rows >= want // 2 and self.a_way() == self.b_way() == DIRECT:  # the gradient of a weight
            return 1, min(rows, want)
        columns = min(panels, want) if self.a_way() == DIRECT else min(panels, want, max(1, self.n // 256))
        return columns, min(rows, -(-want // columns))

    def partial(self) -> bool:
        """Whether sums are kept apart from the result between blocks of k."""
        return narrow(self.dtype) and self.k > self.deepest()

    def deepest(self) -> int:
        """The depth of blocks whose sums are kept apart."""
        return BLOCK_K * (2 if paired(self.dtype) else 1)

    def scratch(self, s: dict[str, int]) -> dict[str, int]:
        """The elements of a thread's scratch memory: packed A, packed B, sums."""
        form = self.form
        strips = -(-s["block_rows"] // form.rows[0])
        return {"a": strips * (form.rows[0] * s["block_k"] + GAP) + form.lanes * form.rows[0] if s["a_way"] else 0,
                "b": s["block_columns"] * s["block_k"] + form.lanes * form.panel if s["b_way"] else 0,
                "sums": s["together"] * s["unit_rows"] * s["block_columns"] if self.partial() else 0}

    def step(self, new_value: Callable[[int], int], lasting: AbstractSet[int]) -> KernelStep:
        lanes = self.form.lanes
        flops = 2 * self.batch * self.m * self.n * self.k
        small = self.small()
        if small is not None:
            values = {"m": self.m, "n": self.n, "k": self.k, "unit_columns": self.n, "column_parts": 1}
            return self._step(small, matvec.SLOTS, values, 0, new_value, max(1, flops // CYCLE), flops)
        kernel = self.matvec()
        if kernel is not None:
            group = matvec.WIDE * lanes if kernel is matvec.along_n else min(matvec.COLUMNS, lanes)
            wide = _share(self.n, max(1, min(-(-self.n // group), threads.count() * UNITS_PER_THREAD)), group)
            values = {"m": self.m, "n": self.n, "k": self.k, "unit_columns": wide, "column_parts": -(-self.n // wide)}
            return self._step(kernel, matvec.SLOTS, values, 0, new_value, max(1, flops * self.form.size // CACHE_BYTES), flops)
        values = self.sizes()
        a_room, b_room, sums_room = (-(-x // 16) * 16 for x in self.scratch(values).values())
        values |= {"scratch_size": a_room + b_room + sums_room, "b_at": a_room, "sums_at": a_room + b_room}
        step = self._step(kernels.blocked, SLOTS, values, values["scratch_size"], new_value, max(1, flops // (CYCLE * lanes)), flops)
        step.light = True
        if self.instr.op.name != "matmul" and self.b.value in lasting and values["b_way"] != DIRECT and self.m <= packing.MOST_ROWS \
                and self.k * self.n >= packing.SMALLEST:
            dtype = self.instr.outs[0].dtype
            step.variant = panels.Panels(self.b.value, self.b.start * dtype.itemsize, dtype, self.k, self.n, self.b.rows, self.b.columns, values["block_k"],
                                         self.form.dtype, self.form.panel, paired(dtype.name))
        return step

    def small(self) -> Callable[[str, str], str] | None:
        """The kernel for what is added up in PyTorch's order."""
        if self.dtype != "float32":
            return None
        way = order.product(self.m, self.n, self.k, (self.a.rows, self.a.columns), (self.b.rows, self.b.columns))
        return small_kernels.kernel(way, self.b.columns == 1 or self.n == 1)

    def matvec(self) -> Callable[[str, str], str] | None:
        """The kernel for few rows, if there is a fast one."""
        if self.m == 1 and self.b.columns == 1:
            return matvec.along_n
        few = self.m <= FEWEST_ROWS and self.k >= SHORT and self.b.rows == 1 and self.a.columns == 1
        return matvec.along_k if few else None

    def _step(self, kernel: Callable[[str, str], str], names: tuple[str, ...], sizes: dict[str, int], room: int, new_value: Callable[[int], int],
              work: int, flops: int) -> KernelStep:
        from rushlight.exec.cpu.products import RELU_OF
        dtype, form, size = self.dtype, self.form, self.instr.outs[0].dtype.itemsize
        values: dict[str, Any] = {**sizes, "out": Address(self.instr.results[0]), "relu": int(self.instr.op.name in RELU_OF)}
        for name, x in (("a", self.a), ("b", self.b)):
            values[name] = Address(x.value, x.start * size)
            values[f"{name}_starts"] = Table(x.starts)
        values |= {"a_row": self.a.rows, "a_k": self.a.columns, "b_k": self.b.rows, "b_n": self.b.columns}
        results = {self.instr.results[0]}
        if self.bias is not None:
            values["bias"] = Address(self.bias.value, self.bias.spec.offset * size)
        if room:
            scratch = new_value(threads.count() * room * form.size)
            values["scratch"] = Address(scratch)
            results.add(scratch)
        slots = [values.get(n, 0) for n in _slot_names(names)]
        shape = f"{f'{self.batch}x' if self.batch > 1 else ''}{self.m}x{self.n}x{self.k}"
        return KernelStep(f"product {kernel.__name__} {dtype} {form}", lambda name: kernel(dtype, name), slots,
                          self.batch * sizes["column_parts"] * sizes.get("row_parts", 1), work, {o.value for o in self.instr.operands}, results,
                          flops=flops, title=f"product {dtype} {shape}")


def _share(size: int, parts: int, step: int) -> int:
    """A part of a dimension, in whole steps."""
    whole = -(-size // step)
    return -(-whole // parts) * step


def _packing(unit_stride: int, k_stride: int) -> int:
    """The way to pack units that lie so."""
    return UNITS if unit_stride == 1 else ALONG_K if k_stride == 1 else ANY
