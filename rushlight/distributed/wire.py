"""Messages on sockets: a JSON header, then raw bytes."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

SMALL = 1 << 16
_LENGTHS = struct.Struct("<IQ")


def send(s: socket.socket, header: Any, payload: bytes | memoryview = b"") -> None:
    """One message."""
    text = json.dumps(header).encode()
    view = memoryview(payload).cast("B") if not isinstance(payload, bytes) else payload
    start = _LENGTHS.pack(len(text), len(view)) + text
    if len(view) < SMALL:  # one call for both
        s.sendall(start + bytes(view))
        return
    s.sendall(start)
    s.sendall(view)


def receive(s: socket.socket) -> tuple[Any, bytearray]:
    """The next message; ConnectionError where the other side is gone."""
    text_size, size = _LENGTHS.unpack(_exactly(s, _LENGTHS.size))
    header = json.loads(_exactly(s, text_size))
    return header, _exactly(s, size)


def _exactly(s: socket.socket, n: int) -> bytearray:
    out = bytearray(n)
    view, got = memoryview(out), 0
    while got < n:
        k = s.recv_into(view[got:])
        if k == 0:
            raise ConnectionError("the other side has closed the connection")
        got += k
    return out


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """A connection, tried again until the other side listens."""
    end = time.monotonic() + timeout
    while True:
        try:
            s = socket.create_connection((host, port), timeout=max(0.1, end - time.monotonic()))
            s.settimeout(None)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return s
        except OSError as e:
            if time.monotonic() >= end:
                raise RuntimeError(f"The client socket has timed out after {timeout * 1000:.0f}ms "
                                   f"while trying to connect to ({host}, {port}).") from e
            time.sleep(0.05)
