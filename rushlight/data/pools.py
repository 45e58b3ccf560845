"""The workers of a loader: threads by default, processes on request."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
import weakref
from copy import copy
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Any

from rushlight.data.worker import Answer, Worker
from rushlight.ir.graph import Graph
from rushlight.tensor.state import state

GRACE = 0.5  # seconds that a busy process has to end by itself


class Timeout(Exception):
    """No answer within the time allowed."""


class Inbox:
    """Messages to a worker, until it is told to stop: then those that are left do not count."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.stopped = False

    def get(self) -> Any:
        """The next message, None at the end."""
        message = self.messages.get()
        return None if self.stopped else message

    def stop(self) -> None:
        """This is the end."""
        self.stopped = True
        self.messages.put(None)


class ThreadPool:
    """One daemon thread per worker."""

    def __init__(self, workers: list[Worker]):
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.inboxes = [Inbox() for _ in workers]
        for worker, inbox in zip(workers, self.inboxes, strict=True):
            worker.source = copy(worker.source)  # each gets a data set of its own
            name = f"rushlight-loader-{worker.number}"
            serving = (inbox.get, self.answers.put)
            threading.Thread(target=worker.serve, args=serving, daemon=True, name=name).start()
        self._end = weakref.finalize(self, _end_threads, self.inboxes)

    def send(self, worker: int, message: Any) -> None:
        """Put a message into a worker's inbox."""
        self.inboxes[worker].messages.put(message)

    def receive(self, seconds: float | None) -> Answer:
        """The next answer of any worker; Timeout."""
        try:
            return self.answers.get(timeout=seconds)
        except queue.Empty:
            raise Timeout from None

    def stop(self, at_once: bool = False) -> None:
        """Let the threads end after what they are at; a thread cannot be ended from outside."""
        self._end()


def _end_threads(inboxes: list[Inbox]) -> None:
    for inbox in inboxes:
        inbox.stop()


class ProcessPool:
    """One process per worker, with a pipe to each. Batches are pickled through it: no shared memory is taken."""

    def __init__(self, workers: list[Worker], context: Any):
        self.processes: list[Any] = []
        self.connections: list[Any] = []
        self._end = weakref.finalize(self, _end_processes, self.processes, self.connections, os.getpid())
        try:
            for worker in workers:
                ours, theirs = context.Pipe()
                self.connections.append(ours)
                process = context.Process(target=_process_main, args=(theirs, worker), daemon=True)
                try:
                    process.start()
                finally:
                    theirs.close()
                self.processes.append(process)
        except BaseException:
            self._end()
            raise
        self.sentinels = {process.sentinel: process for process in self.processes}

    def send(self, worker: int, message: Any) -> None:
        """Put a message into a worker's pipe. That a worker has died is told by `receive`, after its last answers."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connections[worker].send(message)

    def receive(self, seconds: float | None) -> Answer:
        """The next answer of any worker; Timeout; RuntimeError as soon as
        any of them has died and no answer is left."""
        ready: list[Any] = wait([*self.connections, *self.sentinels], seconds)
        if not ready:
            raise Timeout
        dead = [self.sentinels[x] for x in ready if isinstance(x, int)]
        for connection in ready:
            if isinstance(connection, int):
                continue
            try:
                answer: Answer = connection.recv()
            except (EOFError, ConnectionResetError):
                dead.append(self.processes[self.connections.index(connection)])
                continue
            return answer
        raise _death(dead[0]) from None

    def stop(self, at_once: bool = False) -> None:
        """Let the processes end, all of them by force where ``at_once``."""
        if at_once and self._end.alive:
            for process in self.processes:
                process.kill()
        self._end()


def _death(process: Any) -> RuntimeError:
    """The error about a worker process that ended by itself."""
    process.join(1)
    code = process.exitcode
    if code is None or code >= 0:
        return RuntimeError(f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}")
    try:
        name = signal.strsignal(-code) or signal.Signals(-code).name
    except ValueError:
        name = f"Unknown signal {-code}"
    hint = " Out of memory? The system ends processes in this way." if -code == signal.SIGKILL else ""
    return RuntimeError(f"DataLoader worker (pid {process.pid}) is killed by signal: {name}.{hint}")


def _end_processes(processes: list[Any], connections: list[Any], owner: int) -> None:
    """End all processes within a second and a bit: by a message, SIGTERM, SIGKILL."""
    if os.getpid() != owner:
        return  # a copy of the pool in a forked child
    for connection in connections:
        try:
            connection.send(None)
        except OSError:
            pass
        connection.close()
    for last_step in (None, "terminate", "kill"):
        if last_step is not None:
            for process in processes:
                if process.is_alive():
                    getattr(process, last_step)()
        deadline = time.monotonic() + (60 if last_step == "kill" else GRACE)
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        if not any(process.is_alive() for process in processes):
            break
    for process in processes:
        if not process.is_alive():
            process.close()


def _process_main(connection: Any, worker: Worker) -> None:
    state.graph = Graph()  # what the parent had pending is the parent's
    inbox = Inbox()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()

    def send(answer: Answer) -> None:
        from multiprocessing.reduction import ForkingPickler
        try:
            packed = ForkingPickler.dumps(answer)
        except Exception:
            packed = ForkingPickler.dumps(worker.failure(answer.epoch, answer.number))
        connection.send_bytes(packed)
    try:
        worker.serve(inbox.get, send)
    except (KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        pass  # the main process has been interrupted too, or wants no more


def _listen(connection: Any, inbox: Inbox) -> None:
    """Empty the pipe all the time, so that neither side ever waits for the other to read; notice the parent's death."""
    parent = parent_process()
    assert parent is not None
    while True:
        if connection not in wait([connection, parent.sentinel]):
            os._exit(1)
        try:
            message = connection.recv()
        except (EOFError, OSError):
            message = None
        if message is None:
            inbox.stop()
            return
        inbox.messages.put(message)
