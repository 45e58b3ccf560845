"""A compiled plan: steps with addresses. Running it fills in what changes from run to run and calls the native driver."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from rushlight.exec import flight, threads
from rushlight.exec.cpu import driver, launch, memory, packing, panels, teams
from rushlight.exec.cpu import profile as profiling
from rushlight.exec.cpu.blueprint import Blueprint
from rushlight.exec.cpu.jit import COMPILED, Wanted
from rushlight.exec.cpu.kernel import OUT_OF_RANGE, Kernel
from rushlight.exec.cpu.onednn import library, openmp
from rushlight.exec.cpu.steps import Address, KernelStep, LoopStep, PrimitiveStep, PythonStep, Step, Table, flat_size, last_check
from rushlight.exec.numpy import executor as numpy_executor
from rushlight.exec.speculation import Successor
from rushlight.ir.program import Instr
from rushlight.ir.spec import Spec

Array = np.ndarray[Any, Any]
PARALLEL_WORK = 65536  # statements times elements; below, waking threads costs more than it saves
PARALLEL_FLOPS = 2_000_000  # likewise for primitives
ARENA, OBJECTS = 0, 1  # object 0 is the arena, then come inputs, results and what NumPy made
BLOCK_TIME = 2  # milliseconds that idle OpenMP threads wait actively


class Plan:
    """Callable with the list of inputs (flat arrays, then numbers); gives the flat results."""

    def __init__(self, blueprint: Blueprint, fallback: Callable[[], Any]):
        self.program = blueprint.program
        self.steps = blueprint.steps
        self.lock = threading.Lock()
        self.fallback = fallback
        self.types = blueprint.types
        self.threads = threads.count()  # there is scratch memory for as many
        self.buffers = sum(isinstance(s, Spec) for s in self.program.inputs)
        self._locate(blueprint)
        self._build(blueprint.kernels)
        self._prelude(blueprint.numbers)
        self.numbered = bool(blueprint.numbers)
        self.successor = Successor()
        self.launcher = launch.launcher_of(self, {v: at for at, s in enumerate(self.steps) for v in s.writes()})
        self.openmp = self.launcher is None and any(isinstance(s, Segment) and {1, 2} & {*s.steps[::2]} for s in self.segments)
        self._slim()
        self.blank = [None] * (self.objects - self.buffers - 1)
        self.places = [self.object[v] for v in self.program.outputs]

    def _slim(self) -> None:
        """Let go what only the making needed: the garbage collector goes through all that plans keep."""
        self.program = replace(self.program, instrs=[])
        del self.types, self.last, self.times, self.offset
        for step in self.steps:
            if isinstance(step, KernelStep):
                step.slots = []
        for segment in self.segments:
            if isinstance(segment, Segment):
                del segment.kernels, segment.times, segment.slots, segment.memories, segment.steps
                del segment.variants, segment.panels, segment.blocks

    # --- memory ---------------------------------------------------------------------------------------------------
    def _locate(self, blueprint: Blueprint) -> None:
        """Decide for every value which object holds it, and where."""
        last: dict[int, int] = {}
        reads, writes = [s.reads() for s in self.steps], [s.writes() for s in self.steps]
        times = self.times = together(self.steps, reads, writes)
        for at in range(len(self.steps)):
            last.update(dict.fromkeys(reads[at], at))
            last.update(dict.fromkeys(writes[at], at))
        self.last = last
        self.checked = last_check(self.steps)
        outputs = set(self.program.outputs)
        self.object: dict[int, int] = {i: OBJECTS + i for i in range(self.buffers)}
        self.offset: dict[int, int] = {}
        self.taken: list[tuple[int, int]] = []  # (step, input whose memory it overwrites)
        self.made: list[tuple[int, int, Any, Any]] = []  # (object, elements, NumPy's dtype, allocator) of results that are new at each run
        count = OBJECTS + self.buffers
        taken: set[int] = set()
        placed = {*range(self.buffers)}  # a step that works in place writes to an input, or to a value again
        spans = []
        for at, step in enumerate(self.steps):
            for v in sorted(writes[at].difference(placed)):
                placed.add(v)
                host = self._takes_over(step, v, at, taken, outputs)
                if isinstance(step, PythonStep) or v in outputs and not host:
                    self.object[v] = count
                    if not isinstance(step, PythonStep):
                        self.made.append((count, self.types[v].numel, self.types[v].dtype.numpy, memory.allocator(flat_size(self.types[v]))))
                    count += 1
                elif host:
                    self.object[v] = OBJECTS + host - 1
                    taken.add(host - 1)
                    self.taken.append((at, host - 1))
                elif blueprint.arena is None:
                    spans.append(memory.Span(v, blueprint.sizes[v], times[at], times[last[v]]))
        self.objects = count
        if blueprint.arena is None:
            blueprint.arena = memory.arrange(spans)
        self.offset, self.arena = blueprint.arena
        self.object.update((v, ARENA) for v in self.offset)

    def _takes_over(self, step: Step, value: int, at: int, taken: set[int], outputs: set[int]) -> int:
        """1 + the input whose memory the result may overwrite in place, or 0."""
        if isinstance(step, KernelStep) and step.inside is not None:
            assert step.inside < self.buffers and at > self.checked, "what has no copy of its own changes an input, when nothing can fail"
            return step.inside + 1
        if value not in outputs or at < self.checked or not isinstance(step, LoopStep) or step.loop.kernel.phases > 1 or step.loop.kernel.mode != "map":
            return 0
        loop = step.loop
        own, access = next((p, a) for p, a in zip(loop.places, loop.kernel.accesses)
                           if p is not None and step.values[p.value] == value)
        assert own is not None
        for i in sorted(step.reads() & self.program.donated):
            if i in taken or self.last.get(i) != at or i in outputs or self._read_beside(i, at):
                continue
            reads = [(p, a) for p, a in zip(loop.places, loop.kernel.accesses) if p is not None and step.values[p.value] == i]
            if len(reads) == 1 and reads[0][1].dtype == access.dtype and reads[0][0].strides == own.strides and not reads[0][0].offset \
                    and self.types[i].numel == self.types[value].numel and self.types[i].dtype is self.types[value].dtype:
                return i + 1
        return 0

    def _read_beside(self, value: int, at: int) -> bool:
        """Whether a step that may run at the same time reads a value."""
        other = at - 1
        while other >= 0 and self.times[other] == self.times[at]:
            if value in self.steps[other].reads():
                return True
            other -= 1
        return False

    # --- numbers --------------------------------------------------------------------------------------------------
    def _prelude(self, numbers: set[int]) -> None:
        """A function from the plan's numbers to those that kernels read, in order, and those that NumPy steps read."""
        instrs = [i for i in self.program.instrs if i.results[0] in numbers and i.results[0] >= len(self.program.inputs)]
        needed = sorted(numbers & {o.value for s in self.steps if isinstance(s, PythonStep) for o in s.instr.operands})
        given = [i for i, s in enumerate(self.program.inputs) if not isinstance(s, Spec)]
        names = {i: f"n{at}" for at, i in enumerate(given)}  # the text is the same for plans of one form
        values: dict[str, Any] = {}
        lines = [f"def prelude({', '.join(names.values())}):"]
        for i in instrs:
            name = names[i.results[0]] = f"n{len(names)}"
            if i.op.name == "constant":
                values[name] = i.attrs[0]  # a global of the function
            else:
                kernel = numpy_executor.kernel_of(i)
                values[f"k{name}"] = kernel if i.op.numpy is None else partial(kernel, np)
                lines.append(f"    {name} = k{name}({', '.join([names[o.value] for o in i.operands])})")
        values |= {f"v{names[v]}": v for v in needed}
        read = ", ".join([f"v{names[v]}: {names[v]}" for v in needed])
        lines.append(f"    return ({''.join([f'{names[v]}, ' for v in self.order])}), {{{read}}}")
        exec(_code("\n".join(lines)), values)
        self.prelude: Callable[..., tuple[tuple[Any, ...], dict[int, Any]]] = values["prelude"]

    # --- native blocks --------------------------------------------------------------------------------------------
    def _build(self, addresses: list[int] | None) -> None:
        self.keep: list[Any] = []
        self.switches: list[packing.Kept] = []  # products whose weights may be packed
        self.segments: list[Segment | PythonCall] = []
        self.list = (ctypes.c_uint64 * 1)()  # the address of the list of objects
        layout: list[tuple[str, int]] = []  # (struct letter, value) of the block of numbers
        blocks: dict[tuple[int, ...], int] = {}
        current: Segment | None = None
        kernels = iter(addresses or COMPILED.all([_wanted(s) for s in self.steps if isinstance(s, (LoopStep, KernelStep))], self.threads))
        for at, step in enumerate(self.steps):
            if isinstance(step, PythonStep):
                current = None
                self.segments.append(PythonCall(self, step.instr, at))
                continue
            if current is None:
                current = Segment(at)
                self.segments.append(current)
            current.times.append(self.times[at])
            if isinstance(step, LoopStep):
                self._loop(current, step, next(kernels), layout, blocks)
            elif isinstance(step, KernelStep):
                self._kernel(current, step, next(kernels))
            else:
                self._primitive(current, step)
        self.numbers = (ctypes.c_uint64 * max(1, len(layout)))()
        self.pack = struct.Struct("=" + "".join(letter for letter, _ in layout))
        self.order = [v for _, v in layout]
        self.limits: list[Any] = []
        for s in self.segments:
            if isinstance(s, Segment):
                s.finish(self)

    def _loop(self, segment: Segment, step: LoopStep, address: int, layout: list[tuple[str, int]],
              blocks: dict[tuple[int, ...], int]) -> None:
        loop, k, values = step.loop, step.loop.kernel, step.values
        numbers = [values[i] for i in loop.numbers]
        key = (*numbers, -1, *[kind == "float" for kind in k.numbers])
        if key not in blocks:
            blocks[key] = len(layout)
            layout += [("d" if kind == "float" else "q", v) for kind, v in zip(k.numbers, numbers)]
        fills: list[tuple[int, int, int]] = []  # (slot, object, offset)
        scratch = iter(step.scratch)
        for spot, place in zip(loop.spots, loop.places):
            value = next(scratch) if place is None else values[place.value]
            offset = self.offset.get(value, 0) + (0 if place is None else place.offset * place.itemsize)
            fills.append((spot, self.object[value], offset))
        segment.kernels.append((address, loop.units, loop.work, list(loop.words), fills, [0], blocks[key]))

    def _kernel(self, segment: Segment, step: KernelStep, address: int) -> None:
        fills = [(at, self.object[s.value], self.offset.get(s.value, 0) + s.offset) for at, s in enumerate(step.slots) if isinstance(s, Address)]
        words = [0 if isinstance(s, Address) else s.address if isinstance(s, Table) else s for s in step.slots]
        self.keep += [s for s in step.slots if isinstance(s, Table)]
        if step.variant is not None:
            fills.append((panels.PLACE, self.objects, 0))
            segment.panels[len(segment.kernels)] = step.variant, self.objects
            self.objects += 1
        segment.kernels.append((address, step.units, step.work, words, fills, [], 0))

    def _primitive(self, segment: Segment, step: PrimitiveStep) -> None:
        bound = step.bound
        places = [(name, self.object[v], self.offset.get(v, 0) + offset)
                  for part in (step.sources, step.results) for name, (v, offset) in part.items()]
        segment.kernels.append((bound, [(bound.memory(name), at, offset) for name, at, offset in places], step.work))
        self.keep.append(bound)
        if step.variant is not None:
            others = packing.addresses(step.variant, self.objects, places)
            segment.variants[len(segment.kernels) - 1] = step.variant, others, step.packs and step.packs.bound
            self.objects += 1

    # --- running --------------------------------------------------------------------------------------------------
    def __call__(self, inputs: list[Any], cells: list[Any] | None = None) -> tuple[Array, ...]:
        """The results of these inputs; `cells` are what holds them, where packed weights may be kept for the next run."""
        arena = memory.SCRATCH.take(self.arena)
        try:
            with self.lock:
                if flight.current is not None:
                    flight.land()  # it may be this plan, whose argument blocks are in use then
                return self._run(inputs, cells, arena)
        finally:
            memory.SCRATCH.give(arena)

    def prepare(self, inputs: list[Any], cells: Any, arena: Array) -> tuple[list[Any], dict[int, Any]]:
        """The arrays of a run, and the numbers that its NumPy steps read; struct.error for a number beyond 64 bits."""
        n = self.buffers
        memory.POOL.ran()
        arrays: list[Any] = [arena, *inputs[:n], *self.blank]
        for at, size, dtype, make in self.made:
            arrays[at] = make(size, dtype)
        for switch in self.switches:
            arrays[switch.at] = switch.choose(None if cells is None else cells[switch.variant.value], arena)
        self.list[0] = id(arrays)
        return arrays, self.number(inputs) if self.numbered else {}

    def number(self, inputs: list[Any]) -> dict[int, Any]:
        """Write the numbers that kernels read; those that NumPy steps read. struct.error for a number beyond 64 bits."""
        packed, numbers = self.prelude(*inputs[self.buffers:])
        self.pack.pack_into(self.numbers, 0, *packed)
        return numbers

    def _run(self, inputs: list[Any], cells: list[Any] | None, arena: Array) -> tuple[Array, ...]:
        try:
            arrays, numbers = self.prepare(inputs, cells, arena)
        except struct.error:  # a number beyond 64 bits
            return self.fallback()(inputs)  # type: ignore[no-any-return]
        if self.openmp:
            launch.openmp_ran()
        profiler = profiling.active
        if self.launcher is not None and profiler is None and (code := self.launcher.whole()) is not None:
            return self.failed(code, inputs, self.launcher.segment) if code else tuple([arrays[at] for at in self.places])
        for segment in self.segments:
            if isinstance(segment, PythonCall):
                try:
                    if profiler is None:
                        segment(self, arrays, numbers)
                    else:
                        profiler.python(segment, self, arrays, numbers)
                except Exception as e:
                    e.spoiled = self._spoiled(segment.at)  # type: ignore[attr-defined]
                    raise
            elif code := segment.run(self) if profiler is None else profiler.segment(segment, self):
                return self.failed(code, inputs, segment)
        return tuple([arrays[at] for at in self.places])

    def failed(self, code: int, inputs: list[Any], segment: Segment) -> tuple[Array, ...]:
        """A kernel met a bad index: NumPy runs the plan again and says which; any other code is a fault of ours."""
        if code % 256 != OUT_OF_RANGE:
            raise RuntimeError(f"step {code // 256} of a compiled plan failed with code {code % 256}")
        spoiled = self._spoiled(segment.parts[min(code // 256, len(segment.parts)) - 1][-1])
        try:
            self.fallback()([x.copy() if i in self.program.donated else x for i, x in enumerate(inputs)])
        except Exception as e:
            e.spoiled = spoiled  # type: ignore[attr-defined]
            raise
        raise IndexError("index out of range")

    def _spoiled(self, step: int) -> list[int]:
        """The inputs that were overwritten when a step fails."""
        return [i for at, i in self.taken if at <= step]


class Segment:
    """Native steps without Python in between."""

    def __init__(self, first: int):
        self.first = first
        self.kernels: list[tuple[Any, ...]] = []
        self.times: list[int] = []  # kernels with the same time may run at once
        self.variants: dict[int, tuple[packing.Variant, list[tuple[int, int, int]], Any]] = {}  # of products among the kernels
        self.panels: dict[int, tuple[panels.Panels, int]] = {}  # of generated products among the kernels, with the object
        self.blocks: dict[int, Any] = {}  # the arguments of primitives

    def finish(self, plan: Plan) -> None:
        """Write the driver's tables."""
        self.omp = openmp.runtime()
        self.slots: list[int] = []
        self.memories: list[int] = []
        self.steps: list[int] = []
        self.parts: list[range] = []  # of each step of the driver, the steps of the plan
        self.switched: list[int] = []  # of each step of the driver, how many switches there are up to its end
        at = 0
        while at < len(self.kernels):
            end = at + 1
            while end < len(self.kernels) and self.times[end] == self.times[at]:
                end += 1
            if len(self.kernels[at]) == 3:
                bound, places, work = self.kernels[at]
                self._primitive(plan, bound, places, work, self.variants.get(at))
            else:
                self._kernels(plan, range(at, end))
            steps = len(self.steps) // 2 - len(self.parts)
            first = self.first + at
            self.parts += [range(first + i, first + i + 1) for i in range(steps)] if steps == end - at else [range(first, self.first + end)]
            self.switched += [len(plan.switches)] * (len(self.parts) - len(self.switched))
            at = end
        tables = [_words(t or [0]) for t in (self.slots, self.memories, self.steps)]
        setter = library.address("dnnl_memory_set_data_handle") if self.memories else 0
        self.block = _words([ctypes.addressof(tables[0]), len(self.slots) // 3, ctypes.addressof(tables[1]), len(self.memories) // 4, setter,
                             ctypes.addressof(plan.list), ctypes.addressof(tables[2]), len(self.steps) // 2])
        plan.keep += tables
        self.address = ctypes.addressof(self.block)
        self.call = driver.run()

    def _step(self, plan: Plan, kind: int, words: list[int]) -> Any:
        block = _words(words)
        plan.keep.append(block)
        self.steps += [kind, ctypes.addressof(block)]
        return block

    def _primitive(self, plan: Plan, bound: Any, places: list[tuple[int, int, int]], work: int, other: Any) -> None:
        variant, others, packs = other or (None, [], None)
        for handle, at, offset in places + others:
            self.memories += [handle, at, offset, 0]
        limit = self.omp.address("omp_set_num_threads") if self.omp else 0
        count = 1 if work < PARALLEL_FLOPS or threads.single_library else plan.threads
        block = self._step(plan, 1, [library.address("dnnl_primitive_execute"), bound.primitive.handle, library.library().stream, bound.count,
                                     bound.args, count, limit])
        self.blocks[id(bound)] = block
        if variant is not None:
            at = next(at for handle, at, _ in others if handle == variant.bound.memory("weights"))
            plan.switches.append(packing.Switch(variant, at, block, bound, self.blocks.get(id(packs))))

    def _kernels(self, plan: Plan, places: range) -> None:
        """Kernels that may run at once: a region where that is worth it, else one after the other."""
        prepared = [(self.kernels[i][0], self._argument(plan, i), self.kernels[i][1], max(1, self.kernels[i][2])) for i in places]
        total = sum(work for *_, work in prepared)
        units = sum(units for _, _, units, _ in prepared)
        if total < PARALLEL_WORK or units == 1 or plan.threads == 1 or self.omp is None:
            for address, argument, count, _ in prepared:
                self._step(plan, 0, [address, argument, count])
            return
        parts: list[int] = []
        before = 0
        for address, argument, count, work in prepared:
            parts += [address, argument, count, before, work]
            before += work
        table = _words(parts)
        plan.keep.append(table)
        gomp = [self.omp.address(name) for name in ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")]
        some = min(units, teams.PIECES * plan.threads, teams.MOST_PIECES)
        more = min(units, max(plan.threads, min(total // teams.PIECE_WORK, teams.MORE_PIECES * plan.threads)), teams.MOST_PIECES)
        self._step(plan, 2, [ctypes.addressof(table), len(prepared), total, min(units, plan.threads), 0, *gomp, some, more])

    def _argument(self, plan: Plan, i: int) -> int:
        """The argument block of a kernel."""
        _, _, _, words, fills, numbers, first = self.kernels[i]
        for slot in numbers:
            words[slot] = ctypes.addressof(plan.numbers) + 8 * first
        argument = _words(words)
        plan.keep.append(argument)
        for slot, at, offset in fills:
            self.slots += [ctypes.addressof(argument) + 8 * slot, at, offset]
        if i in self.panels:
            plan.switches.append(panels.Switch(*self.panels[i], argument))
        return ctypes.addressof(argument)

    def run(self, plan: Plan) -> int:
        return int(self.call(self.address))


def _wanted(step: LoopStep | KernelStep) -> Wanted:
    """What to ask for the code of a step with."""
    if isinstance(step, KernelStep):
        return step.key, step.write, step.light
    return step.loop.kernel, partial(_write, step.loop.kernel), False


def _write(kernel: Kernel, name: str) -> str:
    """A kernel as LLVM IR. What writes it is imported here: where all kernels are on disk nobody needs it."""
    from rushlight.exec.cpu import emit
    return emit.write(kernel, name)


def together(steps: list[Step], reads: list[set[int]], writes: list[set[int]]) -> list[int]:
    """A time for each step: neighbouring kernels that do not depend on each other have the same."""
    times: list[int] = []
    time = -1
    read: set[int] = set()
    written: set[int] = set()
    before = False  # whether the step before is a kernel
    for step, r, w in zip(steps, reads, writes):
        kernel = isinstance(step, (LoopStep, KernelStep))
        if not (kernel and before and written.isdisjoint(r) and written.isdisjoint(w) and read.isdisjoint(w)):
            time += 1
            read, written = set(), set()
        before = kernel
        times.append(time)
        read |= r
        written |= w
    return times


@lru_cache(256)
def _code(text: str) -> Any:
    return compile(text, "<rushlight numbers>", "exec")


def _words(values: list[int]) -> Any:
    return (ctypes.c_int64 * len(values))(*values)


class PythonCall:
    """An operation by its NumPy kernel, on views of wherever its operands are."""

    def __init__(self, plan: Plan, instr: Instr, at: int):
        self.instr = instr
        self.at = at
        self.kernel = numpy_executor.kernel_of(instr)
        self.lead: list[Any] = [np] if instr.op.numpy is not None else []
        if instr.op.overwrites is not None:
            o = instr.operands[instr.op.overwrites]
            alone = sum(p.value == o.value for p in instr.operands) == 1 and plan.last[o.value] == at and o.value not in plan.program.outputs
            mine = plan.object[o.value] >= OBJECTS + plan.buffers or o.value in plan.program.donated
            mine = mine and (o.value >= plan.buffers or at >= plan.checked)
            self.lead.append(bool(alone and mine and o.spec.plain and plan.types[o.value].numel == o.spec.numel))
            if self.lead[-1] and o.value < plan.buffers:
                plan.taken.append((at, o.value))
        self.operands = [self._operand(plan, o) for o in instr.operands]
        self.results = [plan.object[r] for r in instr.results]

    @staticmethod
    def _operand(plan: Plan, o: Any) -> tuple[Any, ...]:
        s = o.spec
        if not isinstance(s, Spec):
            return (o.value,)
        have, at = plan.types[o.value], plan.object[o.value]
        size = s.dtype.itemsize
        if at != ARENA and have.dtype is s.dtype and s.plain and have.numel == s.numel:
            return at, s.shape
        return at, s.dtype.numpy, s.shape, tuple(x * size for x in s.strides), s.offset * size + plan.offset.get(o.value, 0)

    def __call__(self, plan: Plan, arrays: list[Any], numbers: dict[int, Any]) -> None:
        args = list(self.lead)
        for o in self.operands:
            if len(o) == 1:
                args.append(numbers[o[0]])
            elif len(o) == 2:
                args.append(arrays[o[0]].reshape(o[1]))
            else:
                args.append(numpy_executor.view(arrays[o[0]], *o[1:]))
        with np.errstate(all="ignore"):
            made = self.kernel(*args, *self.instr.attrs)
        if len(self.results) == 1:
            made = (made,)
        for at, result, s in zip(self.results, made, self.instr.outs):
            arrays[at] = numpy_executor.own(numpy_executor.finish(result, s.dtype.numpy))
