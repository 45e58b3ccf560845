"""Random tensor programs: lines of Python, built while PyTorch runs them, then run by both libraries and compared.

A program is a list of source lines over variables v0, v1, … (tensors) and a0, a1, … (NumPy arrays).
The builder looks at PyTorch's tensors to choose sizes that mostly fit. A failing program is printed
as a script that runs under either library.
"""

from __future__ import annotations

import random
import re
import warnings
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")
TAME = 1e3  # operands beyond this are not used further, so that rounding stays far below the tolerance
TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 2e-4, "float64": 1e-7, "complex64": 2e-4, "complex128": 1e-7}
NAME = re.compile(r"\bv\d+\b")
LAYER = "  # a layer"
TWICE = "backward through the graph a second time"


class Session:
    """One library executing a program, with a log of what can be seen after each line."""

    def __init__(self, lib: Any, watch: bool):
        self.lib = lib
        self.watch = watch  # look at every tensor after every line, not only at the newest
        self.env: dict[str, Any] = {"torch": lib, "np": np, "read": self.read}
        self.log: list[Any] = []
        self.versions: dict[str, tuple[Any, int]] = {}
        self.message = ""  # the last exception's

    def read(self, value: Any) -> None:
        """A point of the program where values are needed."""
        self.log.append(("read", values(value)))

    def tensors(self) -> dict[str, Any]:
        return {k: v for k, v in self.env.items() if k[0] == "v" and isinstance(v, self.lib.Tensor)}

    def step(self, line: str) -> str | None:
        """Run a line; the name of the exception that it raised."""
        error = None
        before = set(self.env)
        try:
            exec(line, self.env)
        except Exception as e:
            error = type(e).__name__
            self.message = f"{error}: {str(e).splitlines()[0] if str(e) else ''}"
        seen = self.tensors()
        for t in seen.values():  # until somebody looks, PyTorch takes a view of a base that got a history for a leaf
            suits(t, lambda t: t.grad_fn)
        if not self.watch:
            seen = {k: v for k, v in seen.items() if k not in before or k in NAME.findall(line)}
        self.log.append((error, {k: self.facts(k, v) for k, v in seen.items()}))
        return error

    def facts(self, name: str, t: Any) -> tuple[Any, ...]:
        """What can be seen of a tensor without its values. Versions count from where a name first stood for it."""
        first = self.versions.get(name)
        if first is None or first[0] is not t:
            first = self.versions[name] = t, t._version
        return *facts(t), t._version - first[1]

    def finish(self) -> None:
        """Everything that the program left behind."""
        tensors = self.tensors()
        for name, t in tensors.items():
            self.log.append((name, self.facts(name, t), values(t), gradient(t)))
        for name, a in self.env.items():
            if isinstance(a, np.ndarray):
                self.log.append((name, (str(a.dtype), a.copy())))


def facts(t: Any) -> tuple[Any, ...]:
    """What can be seen of a tensor without its values."""
    try:
        has_history = t.grad_fn is not None
    except RuntimeError as e:  # a view whose history became ambiguous
        has_history = type(e).__name__
    # the stride of a dimension with at most one element, and of an empty tensor, addresses nothing
    strides = tuple(s if n > 1 else 0 for n, s in zip(t.shape, t.stride())) if t.numel() else ()
    offset = t.storage_offset() if t.numel() else 0
    return str(t.dtype), tuple(t.shape), strides, offset, t.requires_grad, has_history


def gradient(t: Any) -> Any:
    """What a leaf has accumulated."""
    try:
        return values(t.grad) if t.is_leaf or t.retains_grad else None
    except RuntimeError as e:
        return type(e).__name__


def values(t: Any) -> Any:
    """The numbers of a tensor, as an array of its own; bfloat16 as float32."""
    if t is None or isinstance(t, (bool, int, float, complex, list, tuple, str)):
        return t
    if isinstance(t, np.ndarray):
        return t.copy()
    t = t.detach()
    name = str(t.dtype).removeprefix("torch.")
    return name, np.array((t.float() if name == "bfloat16" else t.resolve_conj()).tolist()).reshape(tuple(t.shape))


def differs(a: Any, b: Any) -> bool:
    """Whether two observations disagree; floats may differ by rounding."""
    if type(a) is not type(b):
        return True
    if isinstance(a, np.ndarray):
        return differs((str(a.dtype), a), (str(b.dtype), b)) if a.dtype == b.dtype else True
    if isinstance(a, dict):
        return a.keys() != b.keys() or any(differs(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        if len(a) == 2 and isinstance(a[0], str) and isinstance(a[1], np.ndarray) and isinstance(b[1], np.ndarray):
            return a[0] != b[0] or not close(a[1], b[1], TOLERANCE.get(a[0], 0.0))
        return len(a) != len(b) or any(differs(x, y) for x, y in zip(a, b))
    if isinstance(a, float):
        return not close(np.array(a), np.array(b), 2e-4)
    return bool(a != b)


def close(x: np.ndarray, y: np.ndarray, tolerance: float) -> bool:
    """Equal, or equal but for rounding relative to the largest element."""
    if x.shape != y.shape:
        return False
    if not tolerance or not x.size:
        return bool(np.array_equal(x, y))
    finite = np.isfinite(x)
    scale = 1 + (np.abs(x[finite]).max() if finite.any() else 0)
    with np.errstate(all="ignore"):
        return bool(np.allclose(y, x, rtol=tolerance, atol=tolerance * scale, equal_nan=True))


class Choices:
    """Where the builder's decisions come from: a seeded generator or Hypothesis."""

    def __init__(self, integer: Any):
        self.integer = integer

    def pick(self, options: Any) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return bool(self.integer(0, 99) >= 100 - percent)


class Builder:
    """Grows a program line by line under PyTorch."""

    def __init__(self, torch: Any, choices: Choices):
        self.c = choices
        self.torch = torch
        self.watch = choices.chance(50)
        self.session = Session(torch, self.watch)
        self.lines: list[str] = []
        self.rounded: set[str] = set()  # variables whose values depend on the last bits of some library function
        self.written_apart: set[str] = set()
        self.count = 0
        self.stopped = False

    # --- choosing ---
    def names(self, fits: Any = None) -> list[str]:
        """The variables that may be operands: few, finite and moderate, and that satisfy a condition."""
        return [
            k
            for k, t in self.session.tensors().items()
            if t.numel() <= 256 and tame(t) and (fits is None or suits(t, fits))
        ]

    def some(self, fits: Any = None) -> str | None:
        """One variable, recent ones preferred."""
        names = self.names(fits)
        if not names:
            return None
        recent = names[-5:]
        return self.c.pick(recent if self.c.chance(60) else names)

    def get(self, name: str) -> Any:
        return self.session.env[name]

    def exact(self, name: str) -> bool:
        """Whether both libraries hold exactly the same numbers, so that comparing or truncating them is safe."""
        return name not in self.rounded

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count - 1}"

    def dim(self, t: Any, extra: int = 0) -> int:
        """A dimension, counted from either end; seldom one that does not exist."""
        n = t.dim() + extra
        if self.c.chance(2):
            return self.c.pick((n, -n - 1, n + 3))
        return self.c.integer(-n, n - 1) if n else self.c.pick((0, -1))

    def partner(self, t: Any, fits: Any = None) -> str | None:
        """A variable that broadcasts with t (mostly). Half floats and complex numbers would give complex halves."""

        def joined(u: Any) -> bool:
            return not (half(t) and u.dtype.is_complex or half(u) and t.dtype.is_complex) and (fits is None or fits(u))

        if self.c.chance(4):
            return self.some(joined)
        return self.some(lambda u: joins(t.shape, u.shape) and joined(u))

    # --- adding ---
    def add(self, line: str, inexact: bool = False) -> str | None:
        """Append a line and run it."""
        self.lines.append(line)
        before = set(self.session.env)
        error = self.session.step(line)
        used = set(NAME.findall(line))
        if inexact or used & self.rounded:
            self.rounded |= (set(self.session.env) - before) | used
        self.spread()
        return error

    def spread(self) -> None:
        """Inexact numbers are seen through every alias of their memory."""
        tensors = self.session.tensors()
        tainted = {t.untyped_storage()._cdata for k, t in tensors.items() if k in self.rounded}
        self.rounded |= {k for k, t in tensors.items() if t.untyped_storage()._cdata in tainted}

    def aliases(self, name: str) -> list[str]:
        """The variables on the same memory."""
        own = self.get(name).untyped_storage()._cdata
        return [k for k, t in self.session.tensors().items() if t.untyped_storage()._cdata == own]


def tame(t: Any) -> bool:
    if t.dtype.is_floating_point or t.dtype.is_complex:
        t = t.detach()
        return not t.numel() or bool((t.abs() < TAME).all())
    return True


def suits(t: Any, fits: Any) -> bool:
    try:
        return bool(fits(t))
    except RuntimeError:  # a view whose history became ambiguous
        return False


def half(t: Any) -> bool:
    return bool(t.dtype.is_floating_point) and t.element_size() < 4


def joins(a: Any, b: Any) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b)))


def build(torch: Any, choices: Choices, length: int = 24) -> tuple[list[str], Session]:
    """A program of about `length` lines, and PyTorch's log of it."""
    from program_statements import STATEMENTS, TOTAL, start

    b = Builder(torch, choices)
    start(b)
    for _ in range(choices.integer(length // 3, length)):
        at = choices.integer(0, TOTAL - 1)
        for weight, maker in STATEMENTS:
            at -= weight
            if at < 0:
                maker(b)
                break
        if b.stopped:
            break
    b.session.finish()
    return b.lines, b.session


def run(lines: list[str], lib: Any, watch: bool) -> Session:
    """A program under a library."""
    session = Session(lib, watch)
    for line in lines:
        session.step(line)
    session.finish()
    return session


def disagreement(lines: list[str], torch: Any, other: Any, watch: bool, log: Session | None = None) -> str | None:
    """Where two libraries disagree on a program, in words; None where they agree."""
    ours = log or run(lines, torch, watch)
    try:
        theirs = run(lines, other, watch)
    except Exception as e:  # values could not be read at the end
        return f"reading at the end: {type(e).__name__}: {e}"
    at = -1
    for a, b in zip(ours.log, theirs.log):
        if isinstance(a[-1], dict):
            at += 1
        if differs(a, b):
            if any(line.endswith(LAYER) for line in lines) and excused(ours, theirs, a, b, lines):
                return None
            return (
                f"{lines[at] if isinstance(a[-1], dict) or a[0] == 'read' else 'end'}\n{told(a, b)}\n{theirs.message}"
            )
    return None


def excused(torch: Session, other: Session, a: Any, b: Any, lines: list[str]) -> bool:
    """Whether a difference is one of what a layer keeps for its gradient, which is each library's own affair."""
    if b[0] is None and any(said in torch.message for said in ("modified by an inplace operation", "Can't detach views in-place", TWICE)):
        return True  # such an error ends the program
    if a[0] is None and TWICE in other.message or any(".data" in line for line in lines):
        return True  # what is computed from operands that were written unseen is undefined
    made = any("create_graph" in line for line in lines) and isinstance(a[-1], dict) and isinstance(b[-1], dict)
    return made and a[0] == b[0] and {k: f[:4] for k, f in a[-1].items()} == {k: f[:4] for k, f in b[-1].items()}


def told(a: Any, b: Any) -> str:
    """The part of two observations that differs."""
    if (
        isinstance(a, (tuple, list))
        and isinstance(b, (tuple, list))
        and len(a) == len(b)
        and not isinstance(a[-1], np.ndarray)
    ):
        return "\n".join(told(x, y) for x, y in zip(a, b) if differs(x, y))
    if isinstance(a, dict) and isinstance(b, dict):
        return "\n".join(
            f"  {k}: torch {a.get(k)}\n      other {b.get(k)}"
            for k in {**a, **b}
            if k not in a or k not in b or differs(a[k], b[k])
        )
    return f"  torch {a}\n  other {b}"


def shrink(lines: list[str], fails: Any) -> list[str]:
    """The lines without those that the failure does not need."""
    size = max(1, len(lines) // 2)
    while size:
        at = 0
        while at < len(lines):
            fewer = lines[:at] + lines[at + size :]
            if fewer and fails(fewer):
                lines = fewer
            else:
                at += size
        size = size // 2
    return lines


def seeded(seed: int) -> Choices:
    """Choices from Python's generator."""
    return Choices(random.Random(seed).randint)
