"""The agent of a process: sends calls, runs those of others, hands back results.

A message is a pickle, and unpickling runs code: whoever can write to the agent's port can run anything, as with
PyTorch. So it is only for processes that one user has started, on machines that trust each other. The port is bound to
the address under which the others reach this machine (127.0.0.1 on one machine), and messages without the group's
secret, which travels through the store, are dropped unread.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rushlight.distributed.mesh import Mesh
from rushlight.distributed.rpc import pickles
from rushlight.distributed.rpc.options import TensorPipeRpcBackendOptions, WorkerInfo
from rushlight.distributed.store import Store
from rushlight.futures import Future

NOT_READY = "RPC has not been initialized. Call init_rpc before using it."
TAG = "rpc"
TICK = 0.1


class _Mesh(Mesh):
    """Hands messages to the agent as they arrive."""

    agent: Agent

    def _put(self, source: int, tag: str, header: Any, payload: bytearray) -> None:
        self.agent.arrived(source, header, payload)

    def _ended(self, source: int) -> None:
        super()._ended(source)
        self.agent.ended(source)


class Agent:
    """One process's end of all remote calls."""

    def __init__(self, name: str, rank: int, size: int, store: Store, options: TensorPipeRpcBackendOptions):
        self.info, self.size, self.options = WorkerInfo(name, rank), size, options
        self.timeout = options.rpc_timeout
        self.pool = ThreadPoolExecutor(options.num_worker_threads, thread_name_prefix="rpc")
        self.numbers = itertools.count(1)
        self.waiting: dict[int, tuple[int, Future, float, float]] = {}  # call -> (to, future, deadline, limit)
        self.lock = threading.Lock()
        self.later: list[tuple[int, list[Any]]] = []  # messages to send from the clock's thread
        self.goodbyes: set[int] = set()
        self.running = 0
        self.news = threading.Condition()
        self.closed = False
        self.handlers: dict[str, Callable[[int, Any], Any]] = {"call": lambda source, body: pickles.load(body)()}
        self.ready = threading.Event()  # calls that arrive before wait for it
        self.secret = secrets.token_hex(16) if rank == 0 else ""
        if rank == 0:
            store.set("secret", self.secret)
        self.secret = store.get("secret").decode()
        self.mesh = object.__new__(_Mesh)
        self.mesh.agent = self
        self.mesh.__init__(rank, size, store, 60.0)  # type: ignore[misc]
        self.workers = self._names(store)
        for r in range(size):
            if r != rank:
                self.mesh._connection(r)
        threading.Thread(target=self._clock, daemon=True).start()

    def _names(self, store: Store) -> dict[str, WorkerInfo]:
        store.set(f"name/{self.info.id}", self.info.name)
        found: dict[str, WorkerInfo] = {}
        for r in range(self.size):
            n = store.get(f"name/{r}").decode()
            if n in found:
                raise RuntimeError(
                    f"RPC worker name {n} is not unique. Workers {found[n].id} and {r} share the same name."
                )
            found[n] = WorkerInfo(n, r)
        return found

    def worker(self, to: Any) -> WorkerInfo:
        """A worker by name, number or WorkerInfo. RuntimeError for an unknown one."""
        if isinstance(to, WorkerInfo):
            return to
        if isinstance(to, int):
            for w in self.workers.values():
                if w.id == to:
                    return w
        if to not in self.workers:
            raise RuntimeError(f"Unknown destination worker {to}; the workers are {sorted(self.workers)}")
        return self.workers[to]

    # --- sending --------------------------------------------------------------------------------------------------
    def request(self, to: int, kind: str, body: bytes, timeout: float = -1) -> Future:
        """A future of the answer."""
        limit = self.timeout if timeout < 0 else timeout
        number, future = next(self.numbers), Future()
        with self.lock:
            self.waiting[number] = to, future, time.monotonic() + limit if limit else float("inf"), limit
        if to in self.mesh.gone:
            self._fail(number, f"the worker {to} has ended")
            return future
        try:
            self.mesh.send(to, TAG, [kind, number, self.secret], body)
        except RuntimeError as e:
            self._fail(number, str(e))
        return future

    def _fail(self, number: int, why: str) -> None:
        with self.lock:
            found = self.waiting.pop(number, None)
        if found is not None:
            found[1].set_exception(RuntimeError(why))

    def ask(self, to: int, kind: str, body: bytes) -> Any:
        """The answer itself."""
        return self.request(to, kind, body).wait()

    def send_later(self, to: int, message: list[Any]) -> None:
        """A message that needs no answer, sent soon by another thread (also from destructors, which may hold locks)."""
        self.later.append((to, message))

    # --- receiving ------------------------------------------------------------------------------------------------
    def arrived(self, source: int, header: Any, payload: bytearray) -> None:
        """Called by the thread that reads the connection."""
        kind, number, secret = header
        if not secrets.compare_digest(str(secret), self.secret):
            return
        if kind == "bye":
            with self.news:
                self.goodbyes.add(source)
                self.news.notify_all()
            return
        if not self.closed:
            self.pool.submit(
                self._answered if kind in ("reply", "error") else self._serve, source, kind, number, bytes(payload)
            )

    def _answered(self, source: int, kind: str, number: int, body: bytes) -> None:
        with self.lock:
            found = self.waiting.pop(number, None)
        if found is None:
            return  # too late
        try:
            value = pickles.load(body)
        except Exception as e:
            found[1].set_exception(RuntimeError(f"the answer of worker {source} cannot be read here: {e!r}"))
            return
        if kind == "error":
            found[1].set_exception(pickles.rebuilt(*value))
        else:
            found[1].set_result(value)

    def _serve(self, source: int, kind: str, number: int, body: bytes) -> None:
        self.ready.wait()
        with self.news:
            self.running += 1
        try:
            self._finish(source, number, self.handlers[kind](source, body))
        except Exception as e:
            self._error(source, number, e)
        finally:
            with self.news:
                self.running -= 1
                self.news.notify_all()

    def _finish(self, source: int, number: int, value: Any) -> None:
        """Send a result; that of an Answer when it is there."""
        if isinstance(value, pickles.Answer):

            def done(f: Future) -> None:
                try:
                    self._finish(source, number, f.value())
                except Exception as e:
                    self._error(source, number, e)

            value.future.add_done_callback(done)
            return
        self._reply(source, "reply", number, pickles.dump(value))

    def _error(self, source: int, number: int, e: Exception) -> None:
        text = f"On {self.info}:\n{e!r}\n{''.join(traceback.format_exception(e))}"
        self._reply(source, "error", number, pickles.dump(pickles.described(e, text)))

    def _reply(self, to: int, kind: str, number: int, body: bytes) -> None:
        try:
            self.mesh.send(to, TAG, [kind, number, self.secret], body)
        except RuntimeError:
            pass  # who asked has ended

    def ended(self, source: int) -> None:
        """A worker is gone: its answers will not come."""
        with self.lock:
            lost = [n for n, (to, *_) in self.waiting.items() if to == source]
        for n in lost:
            self._fail(n, f"Connection closed by peer: worker {source} has ended; its own error says why")
        with self.news:
            self.news.notify_all()

    def _clock(self) -> None:
        """Timeouts, and messages that nobody waits for."""
        while not self.closed:
            time.sleep(TICK)
            self._flush()
            now = time.monotonic()
            with self.lock:
                late = [(n, limit) for n, (_, _, end, limit) in self.waiting.items() if end < now]
            for n, limit in late:
                self._fail(
                    n,
                    "RPCErr:1:RPC ran for more than set timeout "
                    f"({limit * 1000:.0f} ms) and will now be marked with an error",
                )

    def _flush(self) -> None:
        while self.later:
            to, (kind, body) = self.later.pop(0)
            try:
                self.mesh.send(to, TAG, [kind, 0, self.secret], body)
            except RuntimeError:
                pass

    # --- the end --------------------------------------------------------------------------------------------------
    def shutdown(self, graceful: bool, timeout: float) -> None:
        """Say goodbye; gracefully: when nothing is under way here, and all others have said so.
        RuntimeError where one ended without."""
        end = time.monotonic() + timeout if timeout else float("inf")
        if graceful:
            self._until(lambda: not self.waiting and not self.running, end, "calls of this worker are under way")
            for r in range(self.size):
                self.mesh.send(r, TAG, ["bye", 0, self.secret]) if r not in self.mesh.gone else None
            self._until(lambda: len(self.goodbyes) == self.size, end, "other workers have not called shutdown")
            self._until(lambda: not self.running, end, "calls of others are under way")
        self._flush()
        self.closed = True
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.mesh.close()

    def _until(self, done: Callable[[], bool], end: float, what: str) -> None:
        with self.news:
            while not done():
                lost = self.mesh.gone - self.goodbyes
                if lost:
                    self.closed = True
                    self.mesh.close()
                    raise RuntimeError(f"Connection closed by peer: workers {sorted(lost)} ended without shutdown()")
                if time.monotonic() > end:
                    raise RuntimeError(f"rpc.shutdown timed out: {what}")
                self.news.wait(TICK)


_agent: list[Agent] = []


def current() -> Agent:
    """This process's agent; RuntimeError before init_rpc."""
    if not _agent:
        raise RuntimeError(NOT_READY)
    return _agent[0]


def start(agent: Agent) -> None:
    """Make it the current one."""
    _agent.append(agent)
    agent.ready.set()


def stop() -> None:
    """There is none any more."""
    _agent.clear()
