"""spawn and start_processes: one function in several processes; the first failure ends them all and is raised here."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any


class ProcessException(Exception):
    """A process failed: ``error_index`` says which, ``error_pid`` its pid."""

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid, self.pid = msg, error_index, pid, pid

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """A process ended by an exception; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """A process ended by a signal (``signal_name``) or with an exit code (``exit_code``)."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.error_pid, self.exit_code, self.signal_name)


def _run(fn: Callable[..., Any], i: int, args: tuple[Any, ...], error_file: str) -> None:
    """What each process does."""
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the parent says so
    except Exception:
        with open(error_file, "wb") as f:
            pickle.dump((time.monotonic_ns(), traceback.format_exc()), f)  # one clock for all processes of a machine
        sys.exit(1)


class ProcessContext:
    """The processes of one call of `start_processes`."""

    def __init__(self, processes: list[Any], error_files: list[str]):
        self.processes, self.error_files = processes, error_files
        self.sentinels = {p.sentinel: i for i, p in enumerate(processes)}

    def pids(self) -> list[int]:
        """The processes' pids."""
        return [int(p.pid) for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait: True when all have ended well, False where ``timeout`` seconds passed first.

        When one fails the others are told to end, killed after ``grace_period`` seconds, and its error is raised.
        """
        if not self.sentinels:
            return True
        ready = multiprocessing.connection.wait(self.sentinels.keys(), timeout=timeout)
        failed = None
        for sentinel in ready:
            i = self.sentinels.pop(sentinel)
            process = self.processes[i]
            process.join()
            if process.exitcode != 0:
                failed = i
                break
        if failed is None:
            if not self.sentinels:
                self._clean()
            return not self.sentinels
        failed = self._first(failed)
        self._end(grace_period)
        self._raise(failed)
        return False

    def _first(self, failed: int) -> int:
        """The process that failed first: what others say may follow from its end alone (a closed connection)."""
        times = {i: error[0] for i in range(len(self.processes)) if (error := self._error(i)) is not None}
        died = [i for i, process in enumerate(self.processes) if process.exitcode and i not in times]
        return died[0] if died else min(times, key=times.__getitem__, default=failed)

    def _error(self, i: int) -> tuple[int, str] | None:
        """When a process wrote an error, and its traceback."""
        try:
            with open(self.error_files[i], "rb") as f:
                return pickle.load(f)  # type: ignore[no-any-return]  # written by our own child, in a folder of ours
        except (FileNotFoundError, EOFError, pickle.UnpicklingError):  # none, or it is being written, or was ended as it wrote
            return None

    def _end(self, grace_period: float | None) -> None:
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        end = time.monotonic() + (30 if grace_period is None else grace_period)
        for p in self.processes:
            p.join(max(0.0, end - time.monotonic()))
            if p.is_alive():
                p.kill()
                p.join()

    def _clean(self) -> None:
        for name in self.error_files:
            if os.path.exists(name):
                os.unlink(name)

    def _raise(self, i: int) -> None:
        process, error = self.processes[i], self._error(i)
        self._clean()
        if error is not None:
            raise ProcessRaisedException(f"\n\n-- Process {i} terminated with the following "
                                         f"error:\n{error[1]}", i, process.pid)
        if process.exitcode < 0:
            try:
                title = signal.Signals(-process.exitcode).name
            except ValueError:
                title = f"<Unknown signal {-process.exitcode}>"
            raise ProcessExitedException(f"process {i} terminated with signal {title}", i, process.pid,
                                         process.exitcode, title)
        raise ProcessExitedException(f"process {i} terminated with exit code "
                                     f"{process.exitcode}", i, process.pid, process.exitcode)


SpawnContext = ProcessContext


def start_processes(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True,
                    daemon: bool = False, start_method: str = "spawn") -> ProcessContext | None:
    """Start ``nprocs`` processes that call fn(i, *args); with ``join`` wait for all
    (and return None), else return their context.

    ProcessRaisedException with the traceback where one raised, ProcessExitedException where one died.
    """
    context = multiprocessing.get_context(start_method)
    folder = tempfile.mkdtemp(prefix="rushlight-errors-")
    processes, files = [], []
    for i in range(nprocs):
        name = os.path.join(folder, str(i))
        process = context.Process(target=_run, args=(fn, i, args, name), daemon=daemon)  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
        files.append(name)
    found = ProcessContext(processes, files)
    clean = found._clean

    def clean_all() -> None:
        clean()
        if os.path.isdir(folder):
            os.rmdir(folder)
    found._clean = clean_all  # type: ignore[method-assign]
    if not join:
        return found
    while not found.join():
        pass
    return None


def spawn(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
          start_method: str = "spawn") -> ProcessContext | None:
    """`start_processes` by "spawn": fresh interpreters. The function must be importable,
    so defined at the top of a module."""
    if start_method != "spawn":
        warnings.warn("This method only supports start_method=spawn (got: "
                      f"{start_method}).\nTo use a different start_method use:\n\t\t "
                      "torch.multiprocessing.start_processes(...)", FutureWarning, stacklevel=2)
    return start_processes(fn, args, nprocs, join, daemon, start_method="spawn")
