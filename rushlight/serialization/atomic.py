"""Replaces a file in one step: whoever opens it sees the old file or the new one, whole, whatever happens."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MARK = ".saving-"  # .NAME.saving-PID-RANDOM


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to; it takes the name ``path`` when the block ends without an exception.

    The temporary file lies in the same folder and is locked while its writer lives. RuntimeError where the folder does
    not exist. Special files (``/dev/null``, pipes) are written directly.
    """
    target = os.path.realpath(os.fsdecode(path))  # through symbolic links, as open() does
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {os.path.dirname(os.fsdecode(path)) or '.'} does not exist.")
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as f:
            yield f
        return
    remove_strays(folder, name)
    file, temporary = create(folder, name)
    try:
        with file:
            keep_mode(file.fileno(), target)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def create(folder: str, name: str) -> tuple[IO[bytes], str]:
    """A new locked temporary file."""
    while True:
        # The name is cut so that the temporary one is not longer than file systems allow.
        temporary = os.path.join(folder, f"{prefix_of(name)}{os.getpid()}-{secrets.token_hex(4)}")
        try:
            file = open(temporary, "xb", buffering=1 << 16)
        except FileExistsError:
            continue
        if lock(file) and os.path.exists(temporary):
            return file, temporary
        file.close()  # somebody cleaning up took it for a stray before it was locked


def prefix_of(name: str) -> str:
    shortened = name
    while len(os.fsencode(shortened)) > 200:
        shortened = shortened[:-1]
    return f".{shortened}{MARK}"


def lock(file: IO[bytes]) -> bool:
    """Whether the file is ours alone; the lock goes with the process, however it ends."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: strays are then told by the writer's pid
    return True


def remove_strays(folder: str, name: str) -> None:
    """Delete temporary files for this name whose writers are dead."""
    prefix = prefix_of(name)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in [e for e in entries if e.name.startswith(prefix)]:
            pid = entry.name[len(prefix):].partition("-")[0]
            if pid.isdigit() and is_stray(entry.path, int(pid)):
                with suppress(OSError):
                    os.unlink(entry.path)


def is_stray(path: str, pid: int) -> bool:
    """Whether nobody writes this file any more."""
    if fcntl is None:
        return not alive(pid)
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        return not alive(pid)


def alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill(pid, 0) would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def keep_mode(descriptor: int, target: str) -> None:
    """The permissions of the file that is replaced."""
    with suppress(OSError, AttributeError):
        os.fchmod(descriptor, stat.S_IMODE(os.stat(target).st_mode))


def sync_folder(folder: str) -> None:
    """Make the new name durable; some systems cannot open folders."""
    with suppress(OSError):
        descriptor: Any = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
