"""Native code from LLVM IR, kept in memory by its key and on disk between processes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any

PREFIX = "rl_"  # of every symbol: a function named exp that calls llvm.exp would call itself


@cache
def available() -> bool:
    """Whether llvmlite can be loaded and generates code for this machine."""
    try:
        machine()
    except Exception:  # noqa: BLE001 - whatever is wrong with it, plans run on NumPy
        return False
    return True


@cache
def machine() -> Any:
    """The target machine of the host."""
    import llvmlite.binding as llvm
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)


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
        self.lock = threading.Lock()
        self.built = 0
        self.loaded = 0

    def address(self, key: Hashable, write: Callable[[str], str], light: bool = False) -> int:
        """The address of the function with this key, a text or something that its ``repr`` says all about; ``write(name)`` gives
        its module as LLVM IR when it is new."""
        found = self.addresses.get(key)
        if found is None:
            with self.lock:
                found = self.addresses.get(key)
                if found is None:
                    found = self.addresses[key] = self._make(key if isinstance(key, str) else repr(key), write, light)
        return found

    def _make(self, key: str, write: Callable[[str], str], light: bool) -> int:
        name = PREFIX + hashlib.sha256((key + tag()).encode()).hexdigest()[:24]
        folder = cache_folder()
        code = read(folder, name)
        if code is not None:
            address = self._load(code, name)
            if address:
                self.loaded += 1
                return address
        code = assemble(write(name), light)
        self.built += 1
        keep(folder, name, code)
        return self._load(code, name)

    def _load(self, code: bytes, name: str) -> int:
        import llvmlite.binding as llvm
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self.engines.append(engine)
        return int(engine.get_function_address(name))


COMPILED = Compiled()


def assemble(text: str, light: bool = False) -> bytes:
    """Machine code, as an object file, from LLVM IR; ``light`` is for text that gains nothing by most of LLVM's passes."""
    import llvmlite.binding as llvm
    target = machine()
    module = llvm.parse_assembly(text)
    optimize(module, light)
    return bytes(target.emit_object(module))


def optimize(module: Any, light: bool = False) -> None:
    """LLVM's passes for this machine; the light ones put variables into registers and tidy up, a tenth of the time."""
    import llvmlite.binding as llvm
    target = machine()
    module.triple = target.triple
    module.data_layout = str(target.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False  # the code is vectors already
    builder = llvm.create_pass_builder(target, options)
    passes = llvm.create_new_module_pass_manager() if light else builder.getModulePassManager()
    if light:
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
    passes.run(module, builder)


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
