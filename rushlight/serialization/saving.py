"""torch.save."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from typing import Any

import numpy as np

from rushlight.serialization import bridge
from rushlight.serialization.atomic import replacing
from rushlight.serialization.legacy_reader import MAGIC, PROTOCOL
from rushlight.serialization.pickling import UNTYPED, StorageRef, Writer, pickler_class
from rushlight.serialization.zip_writer import ZipWriter

DEFAULT_PROTOCOL = 2


def save(obj: object, f: Any, pickle_module: Any = pickle, pickle_protocol: int = DEFAULT_PROTOCOL,
         _use_new_zipfile_serialization: bool = True, _disable_byteorder_record: bool = False) -> None:
    """Write an object in PyTorch's file format to ``f``, a path or a file-like object with ``write``.

    A path is replaced in one step when everything is written: interrupted at any moment, the old file is whole.
    ``_use_new_zipfile_serialization=False`` writes the format before 1.6. Tensors that share memory share it in the
    file; a view brings its whole storage along (``x.clone()`` does not).

    Errors: RuntimeError where the folder does not exist, AttributeError for something that cannot be written to.
    """
    if not isinstance(f, (str, os.PathLike)) and not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    options = (pickle_module, pickle_protocol)
    if isinstance(f, (str, os.PathLike)):
        stem = os.path.splitext(os.path.basename(os.fsdecode(f)))[0] or "archive"
        # Pickle first: what cannot be pickled leaves no trace in the folder.
        contents = Contents(obj, *options, zipped=_use_new_zipfile_serialization)
        with replacing(f) as file:
            contents.write(file, stem, _disable_byteorder_record)
    else:
        Contents(obj, *options, zipped=_use_new_zipfile_serialization).write(f, "archive", _disable_byteorder_record)
        if hasattr(f, "flush"):
            f.flush()


class Contents:
    """A pickled object and the storages that it refers to."""

    def __init__(self, obj: object, pickle_module: Any, protocol: int, zipped: bool):
        self.module, self.protocol, self.zipped = pickle_module, protocol, zipped
        self.writer = Writer((lambda n, storage: str(n)) if zipped else (lambda n, storage: str(id(storage))))
        buffer = io.BytesIO()
        pickler_class(pickle_module, self.writer, self.storage_id)(buffer, protocol=protocol).dump(obj)
        self.pickle = buffer.getbuffer()

    def storage_id(self, ref: StorageRef) -> tuple[Any, ...]:
        identity = ("storage", ref.kind, ref.record.key, ref.record.location, ref.count)
        if self.zipped:
            return identity
        if ref.kind is UNTYPED:
            raise NotImplementedError(f"the format before 1.6 has no storage of {ref.record.dtype}; "
                                      "leave out _use_new_zipfile_serialization=False")
        return (*identity, None)

    def write(self, file: Any, stem: str, no_byte_order: bool) -> None:
        if self.zipped:
            self.write_zip(ZipWriter(file, stem), no_byte_order)
        else:
            self.write_legacy(file)

    def write_zip(self, archive: ZipWriter, no_byte_order: bool) -> None:
        archive.record("data.pkl", self.pickle)
        if not no_byte_order:
            archive.record("byteorder", sys.byteorder.encode())
        for record, storage in self.writer.storages.values():
            archive.record(f"data/{record.key}", bridge.memory(storage).view(np.uint8))
        archive.finish()

    def write_legacy(self, file: Any) -> None:
        dump = self.module.dump
        sizes = {"short": 2, "int": 4, "long": 4}
        system = {"protocol_version": PROTOCOL, "little_endian": sys.byteorder == "little", "type_sizes": sizes}
        for value in (MAGIC, PROTOCOL, system):
            dump(value, file, protocol=self.protocol)
        file.write(self.pickle)
        storages = sorted(self.writer.storages.values(), key=lambda pair: pair[0].key)
        dump([record.key for record, _ in storages], file, protocol=self.protocol)
        for record, storage in storages:
            array = bridge.memory(storage)
            little = array if sys.byteorder == "little" else array.byteswap()
            file.write(struct.pack("<q", record.numel))
            file.write(little.view(np.uint8).data)
