"""Machine code from LLVM IR, for several threads at once.

llvmlite lets one thread at a time into LLVM, because its texts share one context. Here each text has a context, and while
it is compiled a target machine, to itself. LLVM works on such texts at the same time (linkers optimize so), and the two calls
that take long, the passes and the emission of code, are made without llvmlite's lock.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

Write = Callable[[str], str]  # from a function's name to its module as LLVM IR
_idle: list[Any] = []  # target machines


def host() -> tuple[str, str]:
    """The host's processor and its features by LLVM's names; RuntimeError where LLVM does not know it."""
    import llvmlite.binding as llvm
    with target_machine():
        return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def load(codes: dict[str, bytes]) -> tuple[Any, dict[str, int]]:
    """Object files with a function each in memory: what keeps them there, and the functions' addresses by their names."""
    import llvmlite.binding as llvm
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), new_target())  # which it owns
    for code in codes.values():
        engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine, {name: int(engine.get_function_address(name)) for name in codes}


def new_target() -> Any:
    """A target machine of the host; RuntimeError where LLVM does not know it."""
    import llvmlite.binding as llvm
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True)


@contextmanager
def target_machine() -> Iterator[Any]:
    """A target machine that no other thread uses meanwhile."""
    try:
        target = _idle.pop()
    except IndexError:
        target = new_target()
    try:
        yield target
    finally:
        _idle.append(target)


def assemble(text: str, light: bool = False) -> bytes:
    """Machine code, as an object file, from LLVM IR; ``light`` is for text that gains nothing by most of LLVM's passes."""
    with target_machine() as target:
        return _emit(target, optimized(text, target, light))


def assemble_all(wanted: dict[str, tuple[Write, bool]], count: int, keep: Callable[[str, bytes], None]) -> dict[str, bytes]:
    """The machine code of functions by their names, made in this many threads, which take them in turn; each is given to ``keep``."""
    left = list(wanted)
    done: dict[str, bytes] = {}
    errors: list[Exception] = []

    def work() -> None:
        while left and not errors:
            try:
                name = left.pop(0)
            except IndexError:  # another thread took the last one
                return
            write, light = wanted[name]
            try:
                done[name] = assemble(write(name), light)
                keep(name, done[name])
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
                errors.append(error)
    helpers = [threading.Thread(target=work) for _ in range(min(count, len(left)) - 1)]
    try:
        for helper in helpers:
            helper.start()
        work()
    finally:
        left.clear()  # after Ctrl-C the others stop soon
        for helper in helpers:
            if helper.ident is not None:
                helper.join()
    if errors:
        raise errors[0]
    return done


def assembly(text: str, light: bool = False) -> str:
    """The same for people to read."""
    with target_machine() as target:
        return str(target.emit_assembly(optimized(text, target, light)))


def optimized(text: str, target: Any, light: bool = False) -> Any:
    """A module after LLVM's passes; the light ones put variables into registers and tidy up, a tenth of the time."""
    import llvmlite.binding as llvm
    module = llvm.parse_assembly(text, llvm.create_context())
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
    run = _unlocked("LLVMPY_RunNewModulePassManager")
    if run is None:
        passes.run(module, builder)
    else:
        run(passes, module, builder)
    return module


def _emit(target: Any, module: Any) -> bytes:
    emit = _unlocked("LLVMPY_TargetMachineEmitToMemory")
    if emit is None:
        return bytes(target.emit_object(module))
    from llvmlite.binding import ffi
    with ffi.OutputString() as error:
        memory = emit(target, module, 1, error)
        if not memory:
            raise RuntimeError(str(error))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(memory), ffi.lib.LLVMPY_GetBufferSize(memory))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


@cache
def _unlocked(name: str) -> Any:
    """A function of llvmlite's library without the lock, None where this version of llvmlite has no such function."""
    try:
        from llvmlite.binding.ffi import lib
        locked, function = getattr(lib, name), ctypes.CDLL(lib._name)[name]
        function.restype, function.argtypes = locked.restype, locked.argtypes
    except (AttributeError, ImportError, OSError):
        return None
    return function
