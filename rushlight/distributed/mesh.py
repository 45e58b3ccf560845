"""Messages between ranks: each rank listens, connections are made when first needed, a thread per connection reads."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict, deque
from typing import Any

from rushlight.distributed import wire
from rushlight.distributed.store import Store

# seconds; who listens was listening before its address became known, so a refusal soon means that it has ended
REFUSED = 10.0
GRACE = 0.5


class Mesh:
    """Sends and receives tagged messages. Both sides know ranks only; addresses are in the store."""

    def __init__(self, rank: int, size: int, store: Store, timeout: float):
        self.rank, self.size, self.store, self.timeout = rank, size, store, timeout
        host = "127.0.0.1" if size == 1 else _own_address(store)
        self.listener = socket.create_server((host, 0))  # not on every interface: only where the others are
        store.set(f"mesh/{rank}", f"{host}:{self.listener.getsockname()[1]}")
        self.out: dict[int, tuple[socket.socket, threading.Lock]] = {}
        self.opening = threading.Lock()
        self.heard: set[int] = set()  # who has connected to this rank
        self.arrived: dict[tuple[int, str], deque[Any]] = defaultdict(deque)
        self.gone: set[int] = set()
        self.news = threading.Condition()
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def send(self, to: int, tag: str, header: Any, payload: Any = b"") -> None:
        """One message."""
        if to == self.rank:
            self._put(self.rank, tag, header, bytearray(payload))
            return
        s, lock = self.out.get(to) or self._connection(to)
        try:
            with lock:
                wire.send(s, [tag, header], payload)
        except OSError as e:
            raise RuntimeError(f"Connection closed by peer: rank {to} does not take messages any more ({e})") from e

    def receive(self, source: int | None, tag: str, timeout: float | None = None) -> tuple[int, Any, bytearray]:
        """(source, header, payload) of the next message with this tag, from anybody where source is None."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        if source is not None and source not in self.out and source != self.rank:
            self._connection(source)  # so that its end is noticed, whether it has connected to this one or not
        with self.news:
            while True:
                for rank in range(self.size) if source is None else (source,):
                    waiting = self.arrived.get((rank, tag))
                    if waiting:
                        return (rank, *waiting.popleft())
                if source is not None and source in self.gone:
                    raise RuntimeError(f"Connection closed by peer: rank {source} has ended; its own error says why")
                left = end - time.monotonic()
                if left <= 0:
                    raise RuntimeError(f"Timed out waiting {self.timeout * 1000:.0f}ms for recv operation to complete: "
                                       f"nothing came from {'any rank' if source is None else f'rank {source}'}")
                self.news.wait(left)

    def close(self) -> None:
        """Close all connections."""
        self.closed = True
        self.listener.close()
        for s, _ in self.out.values():
            s.close()

    def _connection(self, to: int) -> tuple[socket.socket, threading.Lock]:
        """The connection on which this rank sends, opened now if it is not yet."""
        with self.opening:
            if to not in self.out:
                host, _, port = self.store.get(f"mesh/{to}").decode().rpartition(":")
                try:
                    s = wire.connect(host, int(port), min(self.timeout, REFUSED))
                except RuntimeError as e:
                    raise RuntimeError(f"Connection closed by peer: rank {to} has ended, "
                                       f"or cannot be reached ({e}); its own error says why") from e
                wire.send(s, self.rank)
                self.out[to] = s, threading.Lock()
                threading.Thread(target=self._watch, args=(to, s), daemon=True).start()
            return self.out[to]

    def _watch(self, to: int, s: socket.socket) -> None:
        """Wait for the end of a rank to which this one sends: nothing ever arrives on such a connection but its end."""
        try:
            s.recv(1)
        except OSError:
            pass
        if not self.closed:
            time.sleep(GRACE)  # what it sent before may still lie on a connection that is just being accepted
            if to not in self.heard:
                self._ended(to)

    def _ended(self, source: int) -> None:
        with self.news:
            self.gone.add(source)
            self.news.notify_all()

    def _put(self, source: int, tag: str, header: Any, payload: bytearray) -> None:
        with self.news:
            self.arrived[source, tag].append((header, payload))
            self.news.notify_all()

    def _accept(self) -> None:
        while not self.closed:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._read, args=(s,), daemon=True).start()

    def _read(self, s: socket.socket) -> None:
        source = None
        with s:
            try:
                source = wire.receive(s)[0]
                self.heard.add(source)
                while True:
                    (tag, header), payload = wire.receive(s)
                    self._put(source, tag, header, payload)
            except (OSError, ValueError):
                if source is not None:
                    self._ended(source)


def _own_address(store: Store) -> str:
    """The address under which the others reach this machine: the one that talks to the store."""
    s = getattr(getattr(store, "underlying_store", store), "_socket", None)
    return str(s.getsockname()[0]) if s is not None else "127.0.0.1"
