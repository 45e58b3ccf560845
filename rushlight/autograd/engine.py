"""The backward pass: nodes in reverse order of recording, each run once when all its gradients have arrived."""

from __future__ import annotations

import gc
import heapq
import itertools
import threading
import warnings
from typing import Any

from rushlight.autograd.graph import GradFn


class Task:
    """A running backward pass: its number, and which nodes it reaches."""

    def __init__(self, roots: list[GradFn], counts: dict[GradFn, int], needed: set[GradFn] | None):
        self.number = next(_numbers)
        self.roots, self.counts, self.needed = roots, counts, needed
        self.at_end: list[Any] = []  # what to call when the pass has ended

    def reaches(self, node: GradFn) -> bool:
        """Whether this pass gives the node a gradient."""
        return (node in self.counts or node in self.roots) and (self.needed is None or node in self.needed)


_numbers = itertools.count()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.running: list[Task] = []


_thread = _Thread()
_everywhere: dict[int, Task] = {}


def current() -> Task:
    """The innermost backward pass that is running in this thread."""
    return _thread.running[-1]


def runs(number: int) -> bool:
    """Whether a pass is still running in some thread."""
    return number in _everywhere


def run(roots: list[tuple[GradFn, int, Any]], keep: bool, create_graph: bool,
        targets: dict[tuple[int, int], Any] | None, state: Any) -> dict[tuple[int, int], Any]:
    """Send gradients from roots to the leaves, or collect those of `targets` ((id of node, output) -> anything)."""
    form = None
    if targets is None and not keep and not create_graph and len(roots) == 1:
        replay = _replay or _find_replay()
        form = replay.form_of(*roots[0])
        if form is not None and replay.run(form):
            return {}
    if form is None or _replay.known(form):
        return _walk(roots, keep, create_graph, targets, state)
    nodes = state.graph.nodes
    first = len(nodes)
    found = _walk(roots, keep, create_graph, targets, state)
    with state.graph.lock:  # another thread may run the nodes just now, and empty them
        if state.graph.nodes is nodes:  # nothing was realized in between
            _replay.learn(form, nodes[first:])
    return found


_replay: Any = None


def _find_replay() -> Any:
    """The templates of passes, which stand above this package."""
    global _replay
    from rushlight.tensor import replay
    _replay = replay
    return replay


def _walk(roots: list[tuple[GradFn, int, Any]], keep: bool, create_graph: bool,
          targets: dict[tuple[int, int], Any] | None, state: Any) -> dict[tuple[int, int], Any]:
    """Run node after node."""
    waiting: dict[GradFn, list[Any]] = {}
    needed = _needed(roots, targets) if targets is not None else None
    counts = _dependencies([r[0] for r in roots], needed)
    for fn, number, grad in roots:
        _add(waiting, fn, number, grad)
    heap = [(_turn(fn), i, fn) for i, fn in enumerate(waiting) if counts.get(fn, 0) == 0]
    heapq.heapify(heap)
    pushed = {fn for _, _, fn in heap}
    found: dict[tuple[int, int], Any] = {}
    tick = len(heap)
    before, casting = state.grad, state.autocast
    state.grad, state.autocast = create_graph, None
    task = Task([r[0] for r in roots], counts, needed)
    _thread.running.append(task)
    _everywhere[task.number] = task
    collecting = gc.isenabled()
    try:
        gc.disable()  # much of what a pass makes would be taken for something that lasts, and be gone through again and again
        while heap:
            _, _, fn = heapq.heappop(heap)
            grads = waiting.pop(fn, None)
            if grads is not None:
                if state.anomaly:
                    results = _watched_step(fn, grads, keep, found, targets, needed, state)
                else:
                    results = _step(fn, grads, keep, found, targets, needed)
            else:
                results = None
            for i, edge in enumerate(fn.edges):
                if edge is None or (needed is not None and edge[0] not in needed):
                    continue
                after, number = edge
                if results is not None and results[i] is not None:
                    _add(waiting, after, number, results[i])
                counts[after] -= 1
                if counts[after] == 0 and after not in pushed:
                    pushed.add(after)
                    tick += 1
                    heapq.heappush(heap, (_turn(after), tick, after))
    finally:
        if collecting:
            gc.enable()
        state.grad, state.autocast = before, casting
        _thread.running.remove(task)
        del _everywhere[task.number]
    for call in task.at_end:
        call()
    return found


def _turn(fn: GradFn) -> int:
    """What is ready runs in this order: leaves accumulate at once, then the node recorded last."""
    return -fn.seq if fn.edges else -1 << 62


def _watched_step(fn: GradFn, grads: list[Any], keep: bool, found: Any, targets: Any, needed: Any, state: Any) -> Any:
    """`_step` in anomaly mode: an error says which of the user's lines recorded the operation, and NaN is an error."""
    try:
        results = _step(fn, grads, keep, found, targets, needed)
    except Exception:
        if fn.line:
            warnings.warn(f"Error detected in {fn.name()}. The forward call that caused the error: {source(fn.line)}")
        raise
    if state.anomaly == "nan":
        _check_nan(fn, results)
    return results


def source(line: str) -> str:
    """A recorded place with the text of its line, where the file can be read."""
    import linecache
    import sys
    name, _, number = line.rpartition(":")
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_code.co_filename.endswith(name):
                text = linecache.getline(frame.f_code.co_filename, int(number), frame.f_globals).strip()
                return f"{line}, in `{text}`" if text else line
            frame = frame.f_back  # type: ignore[assignment]
    return line


def _step(fn: GradFn, grads: list[Any], keep: bool, found: Any, targets: Any, needed: Any) -> Any:
    """Run one node with its hooks; the gradients of its inputs."""
    if fn.pre_hooks:
        grads = _pre_hooks(fn, grads)
    if fn.retain:
        for number, ref in fn.retain.items():
            tensor = ref()
            if tensor is not None and grads[number] is not None:
                tensor.grad = grads[number].clone() if tensor.grad is None else tensor.grad + grads[number]
    if targets is not None:
        for number, g in enumerate(grads):
            if g is not None and (id(fn), number) in targets:
                found[id(fn), number] = g
        if not any(e is not None and e[0] in needed for e in fn.edges):
            return [None] * len(fn.edges)
    results = fn.backward(grads)
    if fn.hooks:
        for hook in list(fn.hooks.values()):
            changed = hook(tuple(results), tuple(grads))
            if changed is not None:
                results = list(changed) if isinstance(changed, (tuple, list)) else [changed]
    if not keep:
        fn.release()
    return results


def _pre_hooks(fn: GradFn, grads: list[Any]) -> list[Any]:
    assert fn.pre_hooks is not None
    for hook in list(fn.pre_hooks.values()):
        number = getattr(hook, "output_number", None)
        if number is None:
            changed = hook(tuple(grads))
            if changed is not None:
                grads = list(changed) if isinstance(changed, (tuple, list)) else [changed]
        elif grads[number] is not None:
            changed = hook(grads[number])
            if changed is not None:
                grads = [*grads[:number], changed, *grads[number + 1:]]
    return grads


def _add(waiting: dict[GradFn, list[Any]], fn: GradFn, number: int, grad: Any) -> None:
    slots = waiting.get(fn)
    if slots is None:
        slots = waiting[fn] = [None] * max(1, len(fn.specs))
    have = slots[number]
    slots[number] = grad if have is None else (_summed or _find_summed())(have, grad)


_summed: Any = None


def _find_summed() -> Any:
    """The sum of gradients, which stands above this package."""
    global _summed
    from rushlight.tensor.tape import summed
    _summed = summed
    return summed


def _dependencies(roots: list[GradFn], needed: set[GradFn] | None) -> dict[GradFn, int]:
    """How many nodes will send a gradient to each node."""
    counts: dict[GradFn, int] = {}
    seen = set(roots)
    stack = list(seen)
    while stack:
        fn = stack.pop()
        for edge in fn.edges:
            if edge is None or (needed is not None and edge[0] not in needed):
                continue
            counts[edge[0]] = counts.get(edge[0], 0) + 1
            if edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return counts


def _needed(roots: list[tuple[GradFn, int, Any]], targets: dict[tuple[int, int], Any]) -> set[GradFn]:
    """The nodes from which some target can be reached."""
    wanted = {node for node, _ in targets}
    needed: set[GradFn] = set()
    order: list[GradFn] = []
    seen: set[GradFn] = set()
    stack = [r[0] for r in roots]
    while stack:
        fn = stack.pop()
        if fn in seen:
            continue
        seen.add(fn)
        order.append(fn)
        stack.extend(e[0] for e in fn.edges if e is not None)
    for fn in sorted(order, key=lambda f: f.seq):
        if id(fn) in wanted or any(e is not None and e[0] in needed for e in fn.edges):
            needed.add(fn)
    return needed


def _check_nan(fn: GradFn, results: Any) -> None:
    """RuntimeError that names the node and the user's line whose gradient is NaN."""
    for i, g in enumerate(results):
        if g is not None and bool((g != g).any()):
            where = f" The operation was recorded at {source(fn.line)}." if fn.line else ""
            raise RuntimeError(f"Function '{fn.name()}' returned nan values in its {i}th output.{where}")
