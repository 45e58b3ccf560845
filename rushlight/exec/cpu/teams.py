"""Threads of our own that run generated steps together with the program's thread, which may come and go.

OpenMP's regions need the thread that starts them until they end. A team's does not: it may leave after the steps whose
results are asked for, record the program's next operations while the others go on, and come back to help. Every step is cut
into pieces that whoever is free takes: the program's thread from the first on, the others from the last on, so that in a loop
each finds in its cache what it wrote before. Pieces are smaller where they meet. What a piece computes does not depend on who
takes it.

Threads that find no piece wait actively for a while (the gap between two training steps), then sleep in the kernel.
Only Linux has what that needs (futex); elsewhere plans run with OpenMP alone.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import os
import platform
import sys
import threading
from functools import cache
from typing import Any

from rushlight.exec import flight
from rushlight.exec.cpu import team_code
from rushlight.exec.cpu.jit import COMPILED

PIECES = 2  # for each thread, of a step that the program's thread may come to late; products pack operands for each piece
MORE_PIECES = 4  # likewise, where it comes after a few µs and operands are packed already
PIECE_WORK = 16_000  # of such a piece at least: some 4 µs
MOST_THREADS = 8  # beyond, they would wait for each other at the ticket: OpenMP's regions are split beforehand
MOST_PIECES = 65535  # what the ticket has bits for
FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine()) if sys.platform == "linux" else None


@cache
def _functions() -> tuple[Any, Any]:
    """The functions of the program's thread and of the others."""
    help_ = COMPILED.address("team", lambda name: team_code.text(team_code.HELP, name))
    serve = COMPILED.address("thread", lambda name: team_code.text(team_code.THREAD, name))
    return (ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(help_),
            ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)(serve))


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Team:
    """``size`` threads, one of them the program's own. One plan runs at a time; whoever uses a team holds `flight.lock`.

    ``call(address of a request)`` gives 0, or the failed step (from 1) times 256 plus its code.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.call, self.thread = _functions()
        self.raw = (ctypes.c_int64 * (team_code.WORDS + 8))()
        self.control = -(-ctypes.addressof(self.raw) // 64) * 64
        words = (ctypes.c_int64 * team_code.WORDS).from_address(self.control)
        library = ctypes.CDLL(None)
        words[40], words[41] = _address(library.syscall), FUTEX or 0
        words[42], words[43] = _address(library.sched_yield), size
        self.ended: list[Any] = []
        try:
            for number in range(1, size):
                lock = threading.Lock()
                lock.acquire()
                _thread.start_new_thread(self._serve, (number, lock))
                self.ended.append(lock)
        except RuntimeError:  # the system gives no more threads
            self.stop()
            raise

    def _serve(self, number: int, ended: Any) -> None:
        try:
            self.thread(self.control, number)
        finally:
            ended.release()

    def request(self, block: int, until: int, head: int, starts: bool, first: int, end: int) -> Any:
        """A request, for `call`: help with a plan's block until so many steps are done. `starts`: it has to be started, with
        step `first` (after the ones before it, which may still run) and to run up to step `end`; else nothing happens where
        it ran to its end. In `head` steps the program's thread is there from the start; -1: it starts a plan that it will ask for."""
        return (ctypes.c_int64 * 7)(self.control, block, until, head, starts, first, end)

    def stop(self) -> None:
        """End the threads, which have no work."""
        self.thread(self.control, 0)
        for lock in self.ended:
            lock.acquire()


current: Team | None = None
refused = False  # whether no team could be made: then it is not tried again
_at_exit: list[Any] = []


def team(size: int) -> Team | None:
    """The process's team of that many threads, started at the first call; None where there can be none."""
    global current, refused
    if current is None or current.size != size:
        if FUTEX is None or size < 2 or refused:
            return None
        if not _at_exit:
            _at_exit.append(atexit.register(_end))
        dismiss()
        try:
            current = Team(size)
        except (RuntimeError, AttributeError):  # no threads, or a C library without these functions
            refused = True
    return current


def dismiss() -> None:
    """End the threads; the next call of `team` starts new ones."""
    global current
    if current is not None:
        team, current = current, None
        team.stop()


def _end() -> None:
    """No thread works on memory that the interpreter frees when it ends."""
    flight.land()
    dismiss()


def _forget() -> None:
    """In a forked child, which has none of the threads."""
    global current
    current = None


os.register_at_fork(after_in_child=_forget)
