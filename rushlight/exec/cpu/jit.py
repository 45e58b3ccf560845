"""Native code from LLVM IR, kept in memory by its key and on disk between processes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Hashable
from functools import cache, partial
from pathlib import Path
from typing import Any

from rushlight.exec.cpu import compiler, disk, host, objects

Write = compiler.Write
Wanted = tuple[Hashable, Write, bool]
PREFIX = "rl_"  # of every symbol: a function named exp that calls llvm.exp would call itself


@cache
def tag() -> str:
    """What compiled code depends on besides its key: the processor, llvmlite, and this code generator."""
    import llvmlite
    digest = hashlib.sha256(f"{llvmlite.__version__} {host.described()}".encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder(kind: str = "kernels") -> Path | None:
    """Where compiled kernels are kept, or what else depends on the same things; None for nowhere."""
    root = disk.root(kind)
    return None if root is None else root / tag()


class Compiled:
    """Compiled functions by key. ``built`` counts compilations, ``loaded`` what came from disk."""

    def __init__(self) -> None:
        self.addresses: dict[Hashable, int] = {}
        self.names: dict[str, int] = {}  # the same by their symbols
        self.engines: list[Any] = []  # keep the code alive
        self.built = 0
        self.loaded = 0
        self.unlock()

    def unlock(self) -> None:
        """No function is being made: so it is at the start, and in a forked child."""
        self.lock = threading.Lock()

    def address(self, key: Hashable, write: Write, light: bool = False) -> int:
        """The address of the function with this key, a text or something that its ``repr`` says all about; ``write(name)`` gives
        its module as LLVM IR when it is new."""
        return self.addresses.get(key) or self.all([(key, write, light)], 1)[0]

    def all(self, wanted: list[Wanted], count: int) -> list[int]:
        """The addresses of several functions, each with the arguments of `address`; this many threads make those that are new."""
        found = [self.addresses.get(w[0]) for w in wanted]
        if None in found:
            with self.lock:
                new = {symbol(w[0]): w for w in wanted if w[0] not in self.addresses}
                if new:  # another thread may have made them meanwhile
                    self._make(new, count)
        return [there or self.addresses[w[0]] for w, there in zip(wanted, found)]

    def kept(self, key: Hashable) -> bool:
        """Whether the function with this key need not be compiled."""
        folder = cache_folder()
        return key in self.addresses or folder is not None and (folder / symbol(key)).exists()

    def named(self, names: list[str]) -> list[int] | None:
        """The addresses of functions that have been compiled, here or by another process; None where one of them has to be made."""
        if not self.names.keys() >= set(names):
            with self.lock:
                folder = cache_folder()
                codes = {name: disk.read(folder, name) for name in set(names).difference(self.names)}
                found = {name: code for name, code in codes.items() if code is not None}
                if len(found) < len(codes):
                    return None
                self.loaded += len(found)
                self.names.update(self._load(found))
        return [self.names[name] for name in names]

    def _make(self, wanted: dict[str, Wanted], count: int) -> None:
        folder = cache_folder()
        kept = {name: code for name in wanted if name not in self.names and (code := disk.read(folder, name)) is not None}
        missing = {name: w for name, w in wanted.items() if name not in kept and name not in self.names}
        self.loaded += len(kept)
        if missing:
            # what people wrote is long, and none of it should be left for the end
            first = sorted(missing.items(), key=lambda item: not isinstance(item[1][0], str))
            made = compiler.assemble_all({name: w[1:] for name, w in first}, count, partial(disk.keep, folder))
            self.built += len(made)
            kept |= made
        if kept:
            self.names.update(self._load(kept))
        self.addresses.update({w[0]: self.names[name] for name, w in wanted.items()})

    def _load(self, codes: dict[str, bytes]) -> dict[str, int]:
        """The addresses of functions by their names, of object files that have one each."""
        memory, found = objects.load(codes) or compiler.load(codes)
        self.engines.append(memory)
        return found


COMPILED = Compiled()
os.register_at_fork(after_in_child=COMPILED.unlock)


def symbol(key: Hashable) -> str:
    """The symbol of a function, and the name of its file."""
    return PREFIX + hashlib.sha256(((key if isinstance(key, str) else repr(key)) + tag()).encode()).hexdigest()[:24]
