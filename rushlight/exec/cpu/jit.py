"""Native code from LLVM IR, kept in memory by its key and on disk between processes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Hashable
from functools import cache, partial
from pathlib import Path
from typing import Any

from rushlight.exec.cpu import compiler

Write = compiler.Write
Wanted = tuple[Hashable, Write, bool]
PREFIX = "rl_"  # of every symbol: a function named exp that calls llvm.exp would call itself


@cache
def available() -> bool:
    """Whether llvmlite can be loaded and generates code for this machine."""
    try:
        with compiler.target_machine():
            pass
    except Exception:  # noqa: BLE001 - whatever is wrong with it, plans run on NumPy
        return False
    return True


@cache
def features() -> frozenset[str]:
    """What the host's processor can do, by LLVM's names."""
    import llvmlite.binding as llvm
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


@cache
def vector_bytes() -> int:
    """The width of the widest vector registers worth using."""
    import llvmlite.binding as llvm
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


@cache
def tag() -> str:
    """What compiled code depends on besides its key: the processor, llvmlite, and this code generator."""
    import llvmlite
    import llvmlite.binding as llvm
    digest = hashlib.sha256(f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """Where compiled kernels are kept: $RUSHLIGHT_CACHE_DIR, else the user's cache folder; None when set to the empty string."""
    chosen = os.environ.get("RUSHLIGHT_CACHE_DIR")
    if chosen == "":
        return None
    root = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rushlight"
    return root / "kernels" / tag()


class Compiled:
    """Compiled functions by key. ``built`` counts compilations, ``loaded`` what came from disk."""

    def __init__(self) -> None:
        self.addresses: dict[Hashable, int] = {}
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
                self._make({_name(w[0]): w for w in wanted if w[0] not in self.addresses}, count)
        return [there or self.addresses[w[0]] for w, there in zip(wanted, found)]

    def _make(self, wanted: dict[str, Wanted], count: int) -> None:
        folder = cache_folder()
        kept = {name: code for name in wanted if (code := read(folder, name)) is not None}
        missing = {name: w for name, w in wanted.items() if name not in kept}
        self.loaded += len(kept)
        if missing:
            # what people wrote is long, and none of it should be left for the end
            first = sorted(missing.items(), key=lambda item: not isinstance(item[1][0], str))
            made = compiler.assemble_all({name: w[1:] for name, w in first}, count, partial(keep, folder))
            self.built += len(made)
            kept |= made
        for name, address in self._load(kept).items():
            self.addresses[wanted[name][0]] = address

    def _load(self, codes: dict[str, bytes]) -> dict[str, int]:
        """The addresses of functions by their names, of object files that have one each; together they load ten times as fast."""
        import llvmlite.binding as llvm
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), compiler.new_target())  # which it owns
        for code in codes.values():
            engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self.engines.append(engine)
        return {name: int(engine.get_function_address(name)) for name in codes}


COMPILED = Compiled()
os.register_at_fork(after_in_child=COMPILED.unlock)


def _name(key: Hashable) -> str:
    """The symbol of a function, and the name of its file."""
    return PREFIX + hashlib.sha256(((key if isinstance(key, str) else repr(key)) + tag()).encode()).hexdigest()[:24]


def read(folder: Path | None, name: str) -> bytes | None:
    """A kept file; one that does not carry its own checksum is ignored."""
    if folder is None:
        return None
    try:
        data = (folder / name).read_bytes()
    except OSError:
        return None
    code, check = data[:-32], data[-32:]
    return code if hashlib.sha256(code).digest() == check else None


def keep(folder: Path | None, name: str, code: bytes) -> None:
    """Write a file whole or not at all; a folder that cannot be written is no error."""
    if folder is None:
        return
    try:
        _private(folder)
        stray = folder / f"{name}.{os.getpid()}.{threading.get_ident()}"
        with open(os.open(stray, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(code + hashlib.sha256(code).digest())
        stray.replace(folder / name)
        _bound(folder, len(code))
    except OSError:
        return


def _private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone."""
    if not folder.is_dir():
        _private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


MOST_BYTES = 256 << 20  # of the cache folder, all versions together
_written = [0]


def _bound(folder: Path, size: int) -> None:
    """Now and then delete the files that were written longest ago, while the cache is too large."""
    _written[0] += size
    if _written[0] < MOST_BYTES // 64:
        return
    _written[0] = 0
    found = sorted((f.stat().st_mtime, f.stat().st_size, f) for f in folder.parent.rglob("*") if f.is_file())
    total = sum(size for _, size, _ in found)
    for _, size, file in found:
        if total <= MOST_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= size
