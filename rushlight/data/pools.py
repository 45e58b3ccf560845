"""The workers of a loader: threads by default, processes on request. Results come back in order."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from typing import Any

from rushlight.data.worker import ExceptionWrapper, Fetcher, process_main


class Timeout(Exception):
    """No answer within the time allowed."""


class ThreadWorker:
    """A daemon thread that answers fetch requests in order."""

    def __init__(self, fetcher: Fetcher):
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.thread = threading.Thread(target=_thread_main, args=(fetcher, self.requests, self.answers), daemon=True,
                                       name=f"rushlight-loader-{fetcher.number}")
        self.thread.start()
        self._stop = weakref.finalize(self, self.requests.put, None)
        self._stop.atexit = False

    def send(self, keys: Any) -> None:
        self.requests.put((keys,))

    def receive(self, timeout: float) -> tuple[str, Any]:
        try:
            return self.answers.get(timeout=timeout if timeout > 0 else None)
        except queue.Empty:
            raise Timeout from None

    def stop(self) -> None:
        self._stop()


def _thread_main(fetcher: Fetcher, requests: Any, answers: Any) -> None:
    where = f"in DataLoader worker process {fetcher.number}"
    broken = None
    try:
        fetcher.start()
    except Exception:
        broken = ExceptionWrapper(where)
    while True:
        request = requests.get()
        if request is None:
            return
        try:
            answer: Any = ("error", broken) if broken is not None else ("batch", fetcher(request[0]))
        except StopIteration:
            answer = ("end", None)
        except Exception:
            answer = ("error", ExceptionWrapper(where))
        answers.put(answer)
        del answer


class ProcessWorker:
    """A process that answers fetch requests through a pipe."""

    def __init__(self, fetcher: Fetcher, context: Any, seed: int):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=process_main, args=(theirs, fetcher, seed), daemon=True)
        self.process.start()
        theirs.close()
        self._stop = weakref.finalize(self, _end, self.process, self.connection)

    def send(self, keys: Any) -> None:
        try:
            self.connection.send((keys,))
        except (BrokenPipeError, OSError):
            self._died()

    def receive(self, timeout: float) -> tuple[str, Any]:
        from multiprocessing.connection import wait
        end = time.monotonic() + timeout if timeout > 0 else None
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            ready = wait([self.connection, self.process.sentinel], left)
            if self.connection in ready:
                try:
                    return self.connection.recv()  # type: ignore[no-any-return]
                except (EOFError, ConnectionResetError):
                    self._died()
            elif ready:
                self._died()
            else:
                raise Timeout

    def _died(self) -> None:
        import signal
        self.process.join(1)
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code)
            raise RuntimeError(f"DataLoader worker (pid {self.process.pid}) is killed by signal: {signal.strsignal(name) or name.name}. ")
        raise RuntimeError(f"DataLoader worker (pid(s) {self.process.pid}) exited unexpectedly with exit code {code}")

    def stop(self) -> None:
        self._stop()


def _end(process: Any, connection: Any) -> None:
    """Let a worker process go: asked first, then terminated, then killed."""
    try:
        connection.send(None)
    except (BrokenPipeError, OSError, ValueError):
        pass
    connection.close()
    process.join(0.5)
    if process.is_alive():
        process.terminate()
        process.join(1)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()
