"""torch.load."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

from rushlight.serialization import legacy_reader, settings
from rushlight.serialization.budget import Budget
from rushlight.serialization.errors import CheckpointError, Direct, Fault, UserError, short, weights_only_message
from rushlight.serialization.keypath import paths_to
from rushlight.serialization.location import relocate_by
from rushlight.serialization.machine import Machine, names_in_pickle
from rushlight.serialization.records import StorageRecord
from rushlight.serialization.source import Source
from rushlight.serialization.storages import LegacyStorages, ZipStorages
from rushlight.serialization.unsafe import unpickler_class
from rushlight.serialization.world import TableWorld, full_names, is_known
from rushlight.serialization.zip_reader import Archive, damaged

# What a hostile file can make checked code raise. OSError (a failing disk) and errors of the user's functions are not.
BAD_FILE = (Fault, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, EOFError,
            struct.error, MemoryError, RecursionError)
MAX_VERSION = 10


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None,
         mmap: bool | None = None, **pickle_load_args: Any) -> Any:
    """The object that `save` wrote to ``f``, a path or a seekable binary file.

    ``weights_only`` (the default) runs no code of the file: it knows tensors, numbers, strings, containers and what
    `add_safe_globals` allows. ``weights_only=False`` unpickles anything, which can run any code.
    ``map_location``: a device, a dict of locations or a function (storage, location) -> storage.
    ``mmap=True`` maps a file instead of reading it; its checksums are then not verified.

    Errors: FileNotFoundError; CheckpointError for every file that is damaged, malformed or not allowed.

    >>> import io, rushlight
    >>> f = io.BytesIO()
    >>> rushlight.save({"w": [1, 2]}, f)
    >>> _ = f.seek(0)
    >>> rushlight.load(f)
    {'w': [1, 2]}
    """
    weights_only = settings.resolve_weights_only(weights_only, pickle_module)
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if pickle_load_args and weights_only:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    if isinstance(f, (str, os.PathLike)) and str(f).endswith(".safetensors"):
        from rushlight.serialization.safetensors_files import load_safetensors
        return load_safetensors(f, str(map_location) if map_location is not None else "cpu")
    from rushlight.serialization.bridge import TensorBuilder
    if mmap and not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")
    with Source(f) as source:
        unpickler = None if weights_only else (pickle_module or pickle)
        return Loading(source, TensorBuilder(), map_location, unpickler, bool(mmap), pickle_load_args).run()


def load_records(f: Any) -> Any:
    """The contents of a checkpoint with a TensorRecord in the place of every tensor."""
    from rushlight.serialization.records import RecordBuilder
    with Source(f) as source:
        return Loading(source, RecordBuilder(), None, None, False, {}).run()


class Loading:
    """One call of `load`. ``record`` and ``machine`` say where it is when something is wrong."""

    def __init__(self, source: Source, builder: Any, map_location: Any, pickle_module: Any, map_file: bool,
                 pickle_args: dict[str, Any]):
        self.source = source
        self.builder = builder
        self.relocate = relocate_by(map_location)
        self.pickle_module = pickle_module
        # With Python's own unpickler the file's code runs, and what that raises is not ours to rename.
        self.caught = (Fault, pickle.UnpicklingError, EOFError) if pickle_module else BAD_FILE
        self.map_file = map_file
        self.pickle_args = {"encoding": "utf-8", **pickle_args}
        self.budget = Budget(source.size)
        self.record = ""
        self.machine: Machine | None = None
        self.archive: Archive | None = None

    def run(self) -> Any:
        try:
            return self.read_zip() if is_zip(self.source) else self.read_legacy()
        except CheckpointError:
            raise
        except UserError as e:
            raise e.error from None
        except self.caught as e:
            raise self.error(e) from (None if isinstance(e, Fault) else e)

    # --- the two formats ---
    def read_zip(self) -> Any:
        self.archive = archive = Archive(self.source, self.budget)
        check_version(archive)
        self.refuse_torchscript(archive)
        self.record = "data.pkl"
        self.budget.spend(archive.find("data.pkl").size)
        data = archive.read("data.pkl")
        storages = ZipStorages(archive, self.relocate, self.budget.spend, self.map_file)
        world = TableWorld(self.builder, storages, self.budget)
        try:
            result = self.unpickle(BytesIO(data), len(data), world)
        except Exception:
            if storages.bad:  # damaged memory may be why it failed
                raise self.damage(storages.bad, None, world) from None
            raise
        if storages.bad:
            raise self.damage(storages.bad, result, world)
        return result

    def read_legacy(self) -> Any:
        source = self.source
        self.record = "start of the file"
        if source.size < 2:
            raise Direct("Ran out of input: the file is empty" if not source.size else "the file has one byte")
        legacy_reader.check_legacy(source, self.plain)
        if self.map_file:
            raise UserError(RuntimeError(
                "mmap can only be used with files saved with `torch.save(_use_new_zipfile_serialization=True), "
                "please torch.save your checkpoint with this option in order to use mmap."))
        self.record = "pickle"
        storages = LegacyStorages(source.size - source.tell(), self.relocate, self.budget.spend)
        world = TableWorld(self.builder, storages, self.budget)
        result = self.unpickle(source.file, source.base + source.size, world)
        keys = self.plain("storage keys")
        self.record = "storages"
        legacy_reader.fill_storages(source, storages, keys)
        for then in storages.waiting or ():
            then()
        return result

    # --- pickles ---
    def unpickle(self, file: Any, size: int, world: TableWorld) -> Any:
        if self.pickle_module is None:
            self.machine = Machine(file, size, world, self.budget, self.pickle_args["encoding"])
            self.machine.keys = world.keys
            result = self.machine.load()
            self.machine = None
            return result
        return unpickler_class(self.pickle_module, world)(file, **self.pickle_args).load()

    def plain(self, record: str) -> Any:
        """A pickle of the legacy format that holds no objects; always through the machine."""
        self.record = record
        world = TableWorld(self.builder, no_storages, self.budget)
        self.machine = Machine(self.source.file, self.source.base + self.source.size, world, self.budget)
        result = self.machine.load()
        self.machine = None
        return result

    # --- errors ---
    def refuse_torchscript(self, archive: Archive) -> None:
        if archive.has("constants.pkl"):
            raise Direct("Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``. "
                         "The file holds a compiled program; rushlight loads state_dicts and tensors")

    def error(self, e: BaseException) -> CheckpointError:
        fact = str(e) if isinstance(e, Fault) else f"{type(e).__name__}: {short(str(e))}"
        where = f"File {self.source.name!r}" + (f", record {self.record}" if self.record else "")
        machine = self.machine
        if machine is not None:
            at = machine.reader.file.tell() - machine.reader.start
            where += f", byte {at} of the pickle ({machine.opcode})"
        if isinstance(e, Direct) or machine is None:
            return CheckpointError(f"{fact}\n{where}.", self.source.name, self.record)
        return CheckpointError(weights_only_message(fact, where + "."), self.source.name, self.record)

    def damage(self, bad: list[StorageRecord], result: Any, world: TableWorld) -> CheckpointError:
        """The error of records whose checksums are wrong, with the names of their tensors."""
        keys = {s.key for s in bad}
        wanted = {i for i, (_, s) in world.owners.items() if s.key in keys}
        paths = paths_to(result, wanted) if result is not None else []
        record = f"data/{bad[0].key}"
        more = f" ({len(bad)} damaged records in all)" if len(bad) > 1 else ""
        names = ", ".join(f"tensor {p}" if p else "the saved tensor" for p in paths) or "a tensor"
        text = (f"{damaged(record)}: {names} is lost{more}.\nFile {self.source.name!r}, record {record}. To read it "
                "regardless, use torch.load(path, mmap=True), which skips checksums.")
        return CheckpointError(text, self.source.name, record, tuple(paths))


def is_zip(source: Source) -> bool:
    return source.size >= 4 and source.read_at(0, 4) == b"PK\x03\x04"


def no_storages(identity: Any) -> Any:
    raise Fault("a storage is named where there can be none")


def check_version(archive: Archive) -> None:
    """The version of the format, which PyTorch counts from 1."""
    name = ".data/version" if archive.has(".data/version") else "version"
    text = archive.read(name, 20).strip()
    if not text.isdigit():
        raise Direct(f"the version record holds {text!r:.60}, not a number")
    if int(text) > MAX_VERSION:
        raise Direct(f"Attempted to read a PyTorch file with version {int(text)}, but the maximum supported version "
                     f"for reading is {MAX_VERSION}. The file was written by a newer program")


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """Names in a zip checkpoint that ``load(weights_only=True)`` would refuse, found without running any of it."""
    names: Callable[..., set[tuple[str, str]]] = names_in_pickle
    with Source(f) as source:
        loading = Loading(source, None, None, None, False, {})
        try:
            if not is_zip(source):
                raise Direct("Expected input to be a checkpoint returned by torch.save")
            data = Archive(source, loading.budget).read("data.pkl")
            return sorted(n for n in full_names(names(BytesIO(data), len(data))) if not is_known(n))
        except BAD_FILE as e:
            raise loading.error(e) from None
