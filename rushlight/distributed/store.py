"""Key-value stores through which processes find each other: over TCP, in a file, or within one process."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import socket
import threading
import time
from datetime import timedelta
from typing import Any

from rushlight.distributed import wire

DEFAULT_TIMEOUT = timedelta(minutes=5)


def seconds(timeout: Any) -> float:
    """A timeout as seconds."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


class Store:
    """The operations of every store; values are bytes."""

    def __init__(self) -> None:
        self._timeout = seconds(DEFAULT_TIMEOUT)

    @property
    def timeout(self) -> timedelta:
        """How long get and wait wait."""
        return timedelta(seconds=self._timeout)

    def set_timeout(self, timeout: timedelta) -> None:
        """Change it."""
        self._timeout = seconds(timeout)

    def _do(self, operation: str, key: str = "", value: bytes = b"", extra: Any = None) -> Any:
        raise NotImplementedError

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        self._do("set", key, _bytes(value))

    def get(self, key: str) -> bytes:
        """The value of a key, waiting until it is set; RuntimeError after the timeout."""
        self.wait([key])
        return bytes(self._do("get", key))

    def add(self, key: str, amount: int) -> int:
        """Add to a counter (0 at first) and return it."""
        return int(self._do("add", key, extra=amount))

    def check(self, keys: list[str]) -> bool:
        """Whether all keys are set."""
        return bool(self._do("check", extra=list(keys)))

    def wait(self, keys: list[str], timeout: Any = None) -> None:
        """Return when all keys are set; RuntimeError after the timeout."""
        limit = self._timeout if timeout is None else seconds(timeout)
        end, pause = time.monotonic() + limit, 0.0005
        while not self.check(keys):
            if time.monotonic() > end:
                raise RuntimeError(f"wait timeout after {limit * 1000:.0f}ms, keys: {', '.join(keys)}")
            time.sleep(pause)
            pause = min(0.02, pause * 1.5)

    def delete_key(self, key: str) -> bool:
        """Take a key out; whether it was there."""
        return bool(self._do("delete", key))

    def num_keys(self) -> int:
        """How many keys there are."""
        return int(self._do("count"))

    def compare_set(self, key: str, expected: Any, desired: Any) -> bytes:
        """Set the key to ``desired`` where it is ``expected`` (or both it and
        ``expected`` are empty); the value afterwards."""
        return bytes(self._do("compare", key, _bytes(desired), extra=base64.b64encode(_bytes(expected)).decode()))


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def operate(table: dict[str, bytes], operation: str, key: str, value: bytes, extra: Any) -> Any:
    """An operation on the table itself."""
    if operation == "set":
        table[key] = value
    elif operation == "get":
        return table.get(key, b"")
    elif operation == "add":
        table[key] = str(int(table.get(key, b"0")) + extra).encode()
        return table[key]
    elif operation == "check":
        return all(k in table for k in extra)
    elif operation == "delete":
        return table.pop(key, None) is not None
    elif operation == "count":
        return len(table)
    elif operation == "compare":
        if table.get(key, b"") == base64.b64decode(extra):
            table[key] = value
        return table.get(key, b"")
    return b""


class HashStore(Store):
    """A store within one process."""

    def __init__(self) -> None:
        super().__init__()
        self._table: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def _do(self, operation: str, key: str = "", value: bytes = b"", extra: Any = None) -> Any:
        with self._lock:
            return operate(self._table, operation, key, value, extra)


class TCPStore(Store):
    """A store that one process (``is_master``) serves and all reach over TCP.
    Port 0 lets the system choose; see ``port``."""

    def __init__(self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False,
                 timeout: Any = DEFAULT_TIMEOUT, wait_for_workers: bool = True, multi_tenant: bool = False, **_: Any):
        super().__init__()
        self._timeout = seconds(timeout)
        self.host, self.port = host_name, port
        self._server = _Server(host_name, port) if is_master else None
        if self._server is not None:
            self.port = self._server.port
        self._socket = wire.connect(host_name, self.port, self._timeout)
        self._lock = threading.Lock()
        if wait_for_workers and world_size is not None and world_size > 0:
            self.add("init/workers", 1)
            self._await(world_size)

    def _await(self, count: int) -> None:
        end = time.monotonic() + self._timeout
        while self.add("init/workers", 0) < count:
            if time.monotonic() > end:
                raise RuntimeError(f"Timed out after {self._timeout:.0f} seconds waiting for clients. "
                                   f"{self.add('init/workers', 0)}/{count} clients joined.")
            time.sleep(0.005)

    def _do(self, operation: str, key: str = "", value: bytes = b"", extra: Any = None) -> Any:
        with self._lock:
            wire.send(self._socket, [operation, key, extra], value)
            header, payload = wire.receive(self._socket)
        return payload if header == "bytes" else header

    def close(self) -> None:
        """Close the connection, and the server if it is here."""
        self._socket.close()
        if self._server is not None:
            self._server.close()


class _Server:
    """The table of a TCPStore with a thread per client."""

    def __init__(self, host: str, port: int):
        self.table: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.socket = socket.create_server((host, port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                while True:
                    (operation, key, extra), value = wire.receive(client)
                    with self.lock:
                        result = operate(self.table, operation, key, bytes(value), extra)
                    wire.send(client, "bytes" if isinstance(result, bytes) else result,
                              result if isinstance(result, bytes) else b"")
            except (OSError, ValueError):
                return

    def close(self) -> None:
        self.socket.close()


class FileStore(Store):
    """A store in a file that all processes can open; removed by hand or by the last one."""

    def __init__(self, file_name: str, world_size: int = -1):
        super().__init__()
        self.path = file_name

    def _do(self, operation: str, key: str = "", value: bytes = b"", extra: Any = None) -> Any:
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            text = f.read()
            table = {k: base64.b64decode(v) for k, v in json.loads(text or b"{}").items()}
            result = operate(table, operation, key, value, extra)
            if operation in ("set", "add", "delete", "compare"):
                f.seek(0)
                f.write(json.dumps({k: base64.b64encode(v).decode() for k, v in table.items()}).encode())
                f.truncate()
        return result


class PrefixStore(Store):
    """A store whose keys begin with a prefix."""

    def __init__(self, prefix: str, store: Store):
        super().__init__()
        self.prefix, self.underlying_store = prefix, store
        self._timeout = store._timeout

    def _do(self, operation: str, key: str = "", value: bytes = b"", extra: Any = None) -> Any:
        if operation == "check":
            extra = [f"{self.prefix}/{k}" for k in extra]
        return self.underlying_store._do(operation, f"{self.prefix}/{key}", value, extra)
