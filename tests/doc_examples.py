"""The examples of PyTorch's own docstrings, run statement by statement.

    python doc_examples.py collect FILE     under PyTorch: the examples, which statements run, and what they print
    python doc_examples.py run FILE         under rushlight: what becomes of those statements, as JSON
"""

from __future__ import annotations

import builtins
import contextlib
import doctest
import importlib
import inspect
import io
import json
import os
import signal
import sys
import tempfile
import warnings
from typing import Any

SPACES = """torch.Tensor torch torch.nn torch.nn.functional torch.linalg torch.fft torch.special torch.optim torch.optim.lr_scheduler
    torch.optim.swa_utils torch.nn.utils torch.nn.utils.parametrize torch.nn.utils.parametrizations torch.nn.utils.prune
    torch.nn.utils.rnn torch.nn.init torch.autograd torch.autograd.functional torch.autograd.graph torch.func
    torch.distributions torch.utils.data torch.utils.checkpoint torch.sparse torch.signal.windows torch.masked""".split()
NAMES = """import math, numpy, numpy as np, torch, torch.nn as nn, torch.nn.functional as F, torch.optim as optim
import torch.nn.utils as utils, torch.linalg as LA
from torch import tensor
from torch.distributions import *
from torch.optim.lr_scheduler import *
from torch.utils.data import *"""
SECONDS = 5
# they start processes, or change what later examples find
APART = ("torch.utils.checkpoint.uuid", "torch.utils.data.DataLoader", "torch.utils.data.get_worker_info", "torch.utils.data.IterableDataset", "torch.set_default_device",
         "torch.set_default_dtype", "torch.use_deterministic_algorithms", "torch.compile")

Outcome = tuple[list[str | None], list[str | None]]  # of each statement, its error and what it prints


class Late(Exception):
    """A statement takes too long."""


def run(statements: list[str], seed: int) -> Outcome:
    """Run statements in a namespace of their own."""
    import numpy as np
    import torch
    names: dict[str, Any] = {}
    with contextlib.redirect_stderr(io.StringIO()):
        exec(NAMES, names)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(seed)
    np.random.seed(seed)
    errors: list[str | None] = []
    prints: list[str | None] = []
    for statement in statements:
        out = io.StringIO()
        signal.alarm(SECONDS)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(statement, "<example>", "single"), names)
            errors.append(None)
        except BaseException as e:  # noqa: BLE001 - examples end in any error
            errors.append(f"{type(e).__name__}: {str(e)[:200]}")
        finally:
            signal.alarm(0)
        prints.append(out.getvalue() if errors[-1] is None else None)
    vars(builtins).pop("_", None)
    return errors, prints


def examples() -> dict[str, list[str]]:
    """The statements of each docstring that has some, by the name of what it describes."""
    found: dict[str, list[str]] = {}
    seen = set()
    parser = doctest.DocTestParser()
    for space in SPACES:
        module = importlib.import_module(space) if space != "torch.Tensor" else importlib.import_module("torch").Tensor
        for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
            members = [(f"{space}.{name}", value)]
            if inspect.isclass(value) and value.__module__.startswith("torch."):
                members += [(f"{space}.{name}.{m}", f) for m, f in vars(value).items() if callable(f) and not m.startswith("__")]
            for path, f in members:
                text = getattr(f, "__doc__", None)
                if name.startswith("_") or name.endswith("Tensor") or not isinstance(text, str) or ">>>" not in text or text in seen or path.startswith(APART):
                    continue
                seen.add(text)
                with contextlib.suppress(ValueError):  # text that looks like an example
                    found[path] = [e.source for e in parser.get_examples(text)]
    return found


def collect() -> dict[str, list[tuple[str, str | None]]]:
    """The statements that run, with what they print where that is no matter of chance."""
    kept = {}
    for path, statements in examples().items():
        (errors, first), (again, second) = run(statements, 0), run(statements, 1)
        kept[path] = [(s, a if a == b else None) for s, e, f, a, b in zip(statements, errors, again, first, second) if e is None is f]
    return kept


def main() -> None:
    what, file = sys.argv[1:]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _late)
    if what == "run":
        import rushlight
        rushlight.as_torch()
        with open(file) as f:
            given = json.load(f)
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)  # examples write files
    result = collect() if what == "collect" else {path: run([s for s, _ in kept], 0) for path, kept in given.items()}
    with open(file + (".ours" if what == "run" else ""), "w") as f:
        json.dump(result, f)
    sys.stdout.flush()
    os._exit(0)  # whatever examples left running


def _late(*_: Any) -> None:
    raise Late


if __name__ == "__main__":
    main()
