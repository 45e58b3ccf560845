"""RRef: a reference to a value that another process owns. The owner keeps it while references to it exist anywhere."""

from __future__ import annotations

import itertools
import threading
from typing import Any

from rushlight.distributed.rpc import agent as agents
from rushlight.distributed.rpc import pickles
from rushlight.futures import Future

_numbers = itertools.count(1)
_lock = threading.Lock()


class _Owned:
    """A value of this process, or the future of one, and who refers to it."""

    def __init__(self) -> None:
        self.future = Future()
        self.users: set[str] = set()


_owned: dict[str, _Owned] = {}


def _use(key: str, user: str) -> None:
    with _lock:
        _owned.setdefault(key, _Owned()).users.add(user)


def _drop(key: str, user: str) -> None:
    with _lock:
        found = _owned.get(key)
        if found is not None:
            found.users.discard(user)
            if not found.users:
                del _owned[key]


class RRef:
    """A reference to a value of this process, or of another (made by `remote`, or received).

    It can be sent to other processes. ``to_here()`` copies the value here; ``rpc_sync()``,
    ``rpc_async()`` and ``remote()`` give stand-ins whose methods run where the value is.
    """

    def __init__(self, value: Any, type_hint: Any = None):
        me = agents.current()
        self._key, self._owner, self._user = _new_key(), me.info, _new_key()
        _use(self._key, self._user)
        _owned[self._key].future.set_result(value)

    # --- making ---------------------------------------------------------------------------------------------------
    @staticmethod
    def _of(key: str, owner: Any, user: str) -> RRef:
        out: RRef = object.__new__(RRef)
        out._key, out._owner, out._user = key, owner, user
        return out

    def __reduce__(self) -> Any:
        me, user = agents.current(), _new_key()
        if self.is_owner():
            _use(self._key, user)
        else:  # the owner knows of the new reference before this one can go
            me.ask(self._owner.id, "rref use", pickles.dump((self._key, user)))
        return RRef._of, (self._key, self._owner, user)

    def __del__(self) -> None:
        if not agents._agent or not hasattr(self, "_user"):
            return
        if self.is_owner():
            _drop(self._key, self._user)
        else:
            agents.current().send_later(self._owner.id, ["rref drop", pickles.dump((self._key, self._user))])

    # --- asking ---------------------------------------------------------------------------------------------------
    def owner(self) -> Any:
        """The WorkerInfo of the process that has the value."""
        return self._owner

    def owner_name(self) -> str:
        """Its name."""
        return self._owner.name

    def is_owner(self) -> bool:
        """Whether that is this process."""
        return bool(self._owner.id == agents.current().info.id)

    def confirmed_by_owner(self) -> bool:
        """True: a reference exists only once its owner knows of it."""
        return True

    def local_value(self) -> Any:
        """The value itself, in its owner; RuntimeError elsewhere."""
        if not self.is_owner():
            raise RuntimeError(
                f"For {self!r}, can't call localValue() on user {agents.current().info}. Call it on owner {self._owner}"
            )
        return _owned[self._key].future.wait()

    def to_here(self, timeout: float = -1.0) -> Any:
        """A copy of the value here (the value itself in its owner),
        waiting until it is there; what its making raised is raised."""
        if self.is_owner():
            return self.local_value()
        from rushlight.distributed import autograd

        if autograd.recording():  # gradients go to the owner
            return autograd.call(self._owner, _method_free, (self,), {}, timeout).wait()
        return agents.current().request(self._owner.id, "rref fetch", pickles.dump(self._key), timeout).wait()

    def rpc_sync(self, timeout: float = -1.0) -> Any:
        """A stand-in: its methods run in the owner, and return their results."""
        return _Proxy(self, "rpc_sync", timeout)

    def rpc_async(self, timeout: float = -1.0) -> Any:
        """A stand-in whose methods return futures."""
        return _Proxy(self, "rpc_async", timeout)

    def remote(self, timeout: float = -1.0) -> Any:
        """A stand-in whose methods return RRefs."""
        return _Proxy(self, "remote", timeout)

    def __repr__(self) -> str:
        return f"{'OwnerRRef' if agents._agent and self.is_owner() else 'UserRRef'}({self._key} of {self._owner})"


class _Proxy:
    def __init__(self, rref: RRef, how: str, timeout: float):
        self._rref, self._how, self._timeout = rref, how, timeout

    def __getattr__(self, name: str) -> Any:
        from rushlight.distributed import rpc

        return lambda *args, **kwargs: getattr(rpc, self._how)(
            self._rref.owner(), _method, (self._rref, name, *args), kwargs, timeout=self._timeout
        )


def _method(rref: RRef, name: str, *args: Any, **kwargs: Any) -> Any:
    """A method of the value, in its owner."""
    bound = getattr(rref.local_value(), name)
    out = bound(*args, **kwargs)
    return out.wait() if getattr(bound, "_wants_future", False) else out


def _method_free(rref: RRef) -> Any:
    """The value, in its owner."""
    return rref.local_value()


def _new_key() -> str:
    return f"{agents.current().info.id}.{next(_numbers)}"


# --- what the owner does ------------------------------------------------------------------------------------------
def _make(source: int, body: bytes) -> None:
    """Run the call of `remote` and keep its result."""
    key, user, call = pickles.load(body)
    _use(key, user)
    future = _owned[key].future
    try:
        out = pickles.load(call)()
    except Exception as e:
        import traceback

        text = f"On {agents.current().info}:\n{e!r}\n{''.join(traceback.format_exception(e))}"
        future.set_exception(pickles.rebuilt(*pickles.described(e, text)))
        return
    if isinstance(out, pickles.Answer):
        out.future.add_done_callback(lambda f: future.set_result(f.value()))
    else:
        future.set_result(out)


def _fetch(source: int, body: bytes) -> Any:
    key = pickles.load(body)
    if key not in _owned:
        raise RuntimeError(f"the RRef {key} is not known to its owner any more")
    return pickles.Answer(_owned[key].future)


def forget() -> None:
    """The end of all values."""
    _owned.clear()


HANDLERS = {
    "remote": _make,
    "rref fetch": _fetch,
    "rref use": lambda source, body: _use(*pickles.load(body)),
    "rref drop": lambda source, body: _drop(*pickles.load(body)),
}
