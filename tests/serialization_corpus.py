"""Good and bad checkpoints, built byte by byte, for the tests of `rushlight.serialization`."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

import rushlight as rl

Case = tuple[str, bytes, bool]  # name, file, whether loading it must fail

DANGEROUS = """
os system|os popen|os execv|os fork|os remove|os _exit|posix system|nt system|posix execve|subprocess Popen
subprocess call|subprocess run|subprocess check_output|subprocess getoutput|__builtin__ eval|builtins eval
builtins exec|builtins compile|builtins open|builtins __import__|builtins getattr|builtins setattr|builtins globals
builtins breakpoint|builtins input|builtins type|builtins object|builtins map|builtins apply|__builtin__ apply
__builtin__ execfile|io open|io FileIO|_io FileIO|codecs open|_codecs decode|pickle loads|pickle load|_pickle loads
marshal loads|shelve open|importlib import_module|importlib reload|runpy run_path|runpy run_module|runpy _run_code
code InteractiveInterpreter|pty spawn|socket create_connection|socket socket|shutil rmtree|shutil copyfile
tempfile mkstemp|webbrowser open|ctypes CDLL|ctypes cast|urllib.request urlopen|http.client HTTPConnection
functools partial|functools reduce|operator attrgetter|operator methodcaller|operator itemgetter|types CodeType
types FunctionType|sys exit|sys settrace|sys modules|threading Thread|multiprocessing Process|asyncio run
asyncio.unix_events _UnixSubprocessTransport|bdb Bdb|pdb run|cProfile run|profile run|timeit timeit|doctest debug
trace Trace|pip main|pydoc pipepager|pydoc locate|pkgutil resolve_name|site main|venv create|zipimport zipimporter
signal signal|atexit register|gc get_objects|inspect getattr_static|numpy load|numpy fromfile|numpy memmap
numpy.testing._private.utils runstring|numpy.f2py.crackfortran getlincoef|numpy.lib.npyio load
numpy.core._multiarray_umath _reconstruct|torch load|torch save
torch.hub load|torch.jit load|torch.storage _load_from_bytes
torch._utils _import_dotted_name|torch.utils.cpp_extension load_inline|torch.utils.model_zoo load_url
torch.serialization load|torch.serialization add_safe_globals|torch.nn.modules.linear Linear|torch.ops load_library
torch._dynamo optimize|torch.distributed.rpc remote|torch.utils.data DataLoader|torch._inductor.codecache compile_file
rushlight load|rushlight.serialization load|rushlight.serialization.loading load|rushlight.serialization.unsafe imported
rushlight.serialization.atomic replacing|rushlight.tensor.core wrap|rushlight.serialization.errors UserError
collections namedtuple|collections deque|copyreg _reconstructor|copy_reg _reconstructor|copyreg __newobj__
argparse Namespace|argparse FileType|logging FileHandler|logging.config dictConfig|uuid UUID|datetime datetime
pathlib Path|pathlib PosixPath|string Formatter|linecache getlines|tarfile open|zipfile ZipFile|sqlite3 connect
ssl wrap_socket|smtplib SMTP|ftplib FTP|xmlrpc.client ServerProxy|nntplib NNTP|imaplib IMAP4|telnetlib Telnet
""".replace("\n", "|").split("|")
DANGEROUS = [n for n in DANGEROUS if n]


# --- good files ---------------------------------------------------------------------------------------------------
def state() -> dict[str, object]:
    """A small checkpoint with everything: views, dtypes, parameters, nesting."""
    weight = rl.arange(24, dtype=rl.float32).reshape(4, 6)
    return {
        "model": {"layer.weight": weight, "layer.t": weight.t(), "bias": rl.ones(3, dtype=rl.bfloat16)},
        "optimizer": {
            "state": {0: {"step": rl.tensor(3.0), "mask": rl.tensor([True, False])}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1], "name": "ä€😀"}],
        },
        "epoch": 7,
        "big": 2**70,
        "best": 0.5,
        "none": None,
        "set": {1, "a"},
        "bytes": b"\x00\xff",
        "size": weight.size(),
        "dtype": rl.float16,
        "complex": 1 + 2j,
    }


def saved(obj: object, legacy: bool = False, protocol: int = 2) -> bytes:
    f = io.BytesIO()
    rl.save(obj, f, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return f.getvalue()


def records_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return {i.filename: z.read(i) for i in z.infolist()}


def zipped(records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", compression) as z:
        for name, data in records.items():
            z.writestr(zipfile.ZipInfo(name), data, compression)
    return f.getvalue()


def checkpoint(data_pkl: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A zip with correct checksums around any pickle."""
    records = {"archive/data.pkl": data_pkl, "archive/byteorder": b"little"}
    records |= {f"archive/data/{k}": v for k, v in (storages or {}).items()}
    return zipped(records | {"archive/version": b"3\n"})


def legacy(data_pkl: bytes, tail: bytes = b"") -> bytes:
    head = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join(head) + data_pkl + pickle.dumps([], 2) + tail


# --- pickles ------------------------------------------------------------------------------------------------------
def glob(name: str) -> bytes:
    module, _, attribute = name.partition(" ")
    return f"c{module}\n{attribute}\n".encode()


def text(s: str) -> bytes:
    raw = s.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(n: int) -> bytes:
    raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def storage_id(kind: str = "FloatStorage", key: str = "0", numel: bytes = b"K\x04", location: str = "cpu") -> bytes:
    return b"(" + text("storage") + glob(f"torch {kind}") + text(key) + text(location) + numel + b"tQ"


def tensor(storage: bytes, offset: int = 0, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,)) -> bytes:
    def tup(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(number(v) for v in values) + b"t"

    return (
        glob("torch._utils _rebuild_tensor_v2")
        + b"("
        + storage
        + number(offset)
        + tup(size)
        + tup(stride)
        + b"\x89"
        + glob("collections OrderedDict")
        + b")RtR"
    )


# --- bad files ----------------------------------------------------------------------------------------------------
def dangerous() -> Iterator[Case]:
    """Every dangerous name, called in every way that pickle knows, in both formats."""
    for name in DANGEROUS:
        module, _, attribute = name.partition(" ")
        args = b"(" + text("echo hacked") + b"t"
        forms = {
            "reduce": glob(name) + args + b"R",
            "newobj": glob(name) + args + b"\x81",
            "newobj_ex": glob(name) + args + b"}\x92",
            "build": glob(name) + b"}b",
            "bare": glob(name),
            "stack": text(module) + text(attribute) + b"\x93" + args + b"R",
            "inst": b"(" + text("x") + f"i{module}\n{attribute}\n".encode(),
            "factory": glob("collections defaultdict") + glob(name) + b"\x85R",
            "type": glob("torch._tensor _rebuild_from_type_v2") + b"(" + glob(name) + b"N)NtR",
        }
        for form, body in forms.items():
            data = b"\x80\x02" + body + b"."
            yield f"{name} {form} zip", checkpoint(data), True
            yield f"{name} {form} legacy", legacy(data), True


def wrong_sizes() -> Iterator[Case]:
    """Tensors and storages that do not fit into each other or into the file."""
    ten = {"0": bytes(16)}
    for numel in (0, 3, 5, 2**31, 2**40, 2**62, 2**63, 2**64, 2**200, -1, -4):
        body = b"\x80\x02" + tensor(storage_id(numel=number(numel)), size=(max(numel, 0),)) + b"."
        yield f"storage of {numel}", checkpoint(body, ten), True
        yield f"legacy storage of {numel}", legacy(body), True
    views = [
        (1, (4,), (1,)),
        (0, (5,), (1,)),
        (0, (2, 2), (3, 1)),
        (0, (2,), (2**61,)),
        (2**61, (1,), (1,)),
        (-1, (2,), (1,)),
        (0, (-1,), (1,)),
        (0, (4,), (-1,)),
        (3, (2,), (1,)),
        (0, (2**62,), (0,) * 2),
        (0, (2**40, 2**40), (0, 0)),
        (0, (1,) * 65, (0,) * 65),
        (0, (4, 1), (1,)),
        (0, (), (1,)),
        (4, (), ()),
        (0, (2**64,), (0,)),
    ]
    for offset, size, stride in views:
        body = b"\x80\x02" + tensor(storage_id(), offset, size, stride) + b"."
        yield f"view {offset} {size} {stride}", checkpoint(body, ten), True
    for kind in ("IntStorage", "DoubleStorage", "BoolStorage", "HalfStorage", "float32", "NoStorage", "Size", "Tensor"):
        body = b"\x80\x02" + tensor(storage_id(kind)) + b"."
        yield f"kind {kind}", checkpoint(body, ten), kind != "IntStorage"
    for location in ("cuda:0", "nowhere", "", "x" * 100, "meta"):
        yield f"at {location[:9]}", checkpoint(b"\x80\x02" + tensor(storage_id(location=location)) + b".", ten), True
    for key in ("1", "../0", "", "0\x00", "x" * 1000, "0/0"):
        yield f"key {key[:9]!r}", checkpoint(b"\x80\x02" + tensor(storage_id(key=key)) + b".", ten), True
    two = b"\x80\x02" + tensor(storage_id()) + tensor(storage_id("IntStorage")) + b"\x86."
    yield "two types", checkpoint(two, ten), True


def floods() -> Iterator[Case]:
    """Small instructions in great numbers."""
    n = 1_000_000
    pieces = {
        "sets": b"\x8f",
        "lists": b"]",
        "dicts": b"}",
        "marks": b"(",
        "memo": b"N" + b"\x94" * 8,
        "tuples": b"N\x85",
        "ordered": b"h\x00)R",
        "dup": b"2",
        "none": b"N",
        "get": b"h\x00",
        "size": b"h\x01)R",
        "frozen": b"(\x91",
    }
    head = b"\x80\x04" + glob("collections OrderedDict") + b"q\x00" + glob("torch Size") + b"q\x01"
    for name, piece in pieces.items():
        yield f"flood of {name}", checkpoint(head + piece * n + b"."), True
    memo = b"\x80\x02" + storage_id() + b"q\x00" + glob("torch._utils _rebuild_tensor_v2") + b"q\x01"
    for name, dims in (("tensors", 1), ("tensors of many dimensions", 64)):
        one = b"h\x01(h\x00K\x00(%bt(" + b"K\x00" * dims + b"t\x89NtR"
        rows = [one % (b"K\x01" * (dims - 1) + b"M" + struct.pack("<H", i)) for i in range(60_000 // (1 + dims // 8))]
        yield f"flood of {name}", checkpoint(memo + b"".join(rows) + b".", {"0": bytes(16)}), True


def announced() -> Iterator[Case]:
    """Sizes that the file does not have."""
    for code, size in (
        (b"X", "<I"),
        (b"\x8d", "<Q"),
        (b"B", "<I"),
        (b"\x8e", "<Q"),
        (b"\x96", "<Q"),
        (b"\x8b", "<i"),
        (b"T", "<i"),
    ):
        for value in (
            2**31 - 1,
            2**20,
            *(() if size != "<i" else (-1, -(2**31))),
            *(() if size != "<Q" else (2**63, 2**64 - 1)),
        ):
            body = b"\x80\x02" + code + struct.pack(size, value) + b"abc."
            yield f"announced {code!r} {value}", checkpoint(body), True
            yield f"announced {code!r} {value} legacy", legacy(body), True


def bombs() -> Iterator[Case]:
    """Small files that ask for much memory or time."""
    yield from floods()
    yield from announced()
    n = 1_000_000
    yield "deep lists", checkpoint(b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b"."), False
    yield "deep tuples", checkpoint(b"\x80\x02N" + b"\x85" * 200_000 + b"."), False
    laughs = b"\x80\x02]q\x00" + b"".join(b"](" + b"h\x00" * 10 + b"eq\x00" for _ in range(40)) + b"."
    yield "a billion laughs", checkpoint(laughs), False
    doubled = b"\x80\x02)" + b"q\x00h\x00\x86" * 60
    yield "exponential key", checkpoint(doubled + b"q\x01}h\x01Ns."), True
    yield "exponential member", checkpoint(doubled + b"q\x01\x8f(h\x01\x90."), True
    colliding = b"".join(number(k * (2**61 - 1)) + b"N" for k in range(1, 60_000))
    yield "colliding integers", checkpoint(b"\x80\x02}(" + colliding + b"u."), True
    rng = random.Random(5)
    minus = b"".join(b"(" + b"".join(number(rng.choice((-1, -2))) for _ in range(17)) + b"tN" for _ in range(30_000))
    yield "colliding tuples", checkpoint(b"\x80\x02}(" + minus + b"u."), True
    yield "frame", checkpoint(b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N"), True
    yield "memo index", checkpoint(b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff."), True
    yield "bytearray", checkpoint(b"\x80\x02" + glob("__builtin__ bytearray") + number(2**40) + b"\x85R."), True
    yield "bytes", checkpoint(b"\x80\x02" + glob("__builtin__ bytes") + number(2**40) + b"\x85R."), True
    grow = (
        glob("__builtin__ bytearray")
        + b"q\x00"
        + glob("_codecs encode")
        + text("x" * 100_000)
        + text("latin1")
        + b"\x86Rq\x01"
    )
    yield "copies", checkpoint(b"\x80\x02" + grow + b"h\x00h\x01\x85R" * 5000 + b"."), True
    array = (
        glob("numpy._core.multiarray scalar") + glob("numpy dtype") + text("V99999999") + b"\x89\x88\x87R" + b"N\x86R"
    )
    yield "void scalar", checkpoint(b"\x80\x02" + array + b"."), True
    yield "old tar", tar_like(), True
    yield from zip_bombs()


def tar_like() -> bytes:
    return b"storages".ljust(257, b"\x00") + b"ustar  \x00" + bytes(1000)


def zip_bombs() -> Iterator[Case]:
    zeros = {
        "archive/data.pkl": b"\x80\x02" + tensor(storage_id(numel=number(1 << 24)), size=(1 << 24,)) + b".",
        "archive/data/0": bytes(1 << 26),
        "archive/version": b"3\n",
    }
    yield "deflated", zipped(zeros, zipfile.ZIP_DEFLATED), True
    yield "bzip2", zipped(zeros | {"archive/data/0": bytes(1 << 22)}, zipfile.ZIP_BZIP2), True
    body, name, count = bytes(1 << 16), b"archive/data/0", 5000
    sizes = (zlib.crc32(body), len(body), len(body))
    data = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, *sizes, len(name), 0) + name + body
    central = b""
    for i in range(count):
        record = f"archive/data/{i}".encode()
        central += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, *sizes, len(record), *[0] * 6) + record
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(central), len(data), 0)
    yield "overlapping records", data + central + end, True
    for count, length, start in (
        (65534, 2**32 - 2, 0),
        (1, 46, 2**32 - 2),
        (65534, 46, 30),
        (0, 0, 0),
        (65535, 2**32 - 1, 2**32 - 1),
    ):
        yield (
            f"directory {count} {length}",
            data + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, length, start, 0),
            True,
        )
    far = struct.pack("<4sIQI", b"PK\x06\x07", 0, 2**63, 1)
    yield "directory far away", data + far + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, 0, 0, 0), True
    many = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**63, 2**63, 2**63, 0)
    yield (
        "many records",
        data + many + struct.pack("<4sIQI", b"PK\x06\x07", 0, len(data), 1)
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, 0, 0, 0),
        True,
    )


def mutated(data: bytes, rng: random.Random, low: int = 0, high: int | None = None) -> bytes:
    """A few bytes changed, removed, inserted or moved."""
    result = bytearray(data)
    high = len(data) if high is None else high
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at = rng.randrange(low, min(high, len(result)) or 1)
        kind = rng.randrange(5)
        if kind == 0:
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            result[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, ord("R"), ord("("), ord("."), rng.randrange(256)))
        elif kind == 2:
            del result[at : at + rng.choice((1, 2, 8))]
        elif kind == 3:
            result[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
        else:
            source = rng.randrange(len(result))
            result[at : at + 4] = result[source : source + 4]
    return bytes(result)


def mutations(seed: int = 0) -> Iterator[Case]:
    """Truncations and mutations of both formats, of the directory, and of pickles inside correct archives."""
    rng = random.Random(seed)
    new, old = saved(state()), saved(state(), legacy=True)
    for name, data in (("zip", new), ("legacy", old)):
        for cut in sorted(rng.sample(range(len(data)), 600)):
            yield f"{name} cut at {cut}", data[:cut], True
        for i in range(1000):
            yield f"{name} mutation {i}", mutated(data, rng), False
    directory = new.index(b"PK\x01\x02")
    for i in range(600):
        yield f"directory mutation {i}", mutated(new, rng, directory), False
    for protocol in (2, 4):
        records = records_of(saved(state(), protocol=protocol))
        main = next(n for n in records if n.endswith("data.pkl"))
        for i in range(1000):
            yield f"pickle {protocol} mutation {i}", zipped(records | {main: mutated(records[main], rng)}), False


def noise(seed: int = 1) -> Iterator[Case]:
    """Random bytes and random opcodes."""
    rng = random.Random(seed)
    codes = [
        bytes([c])
        for c in b"(.012NKMJGX]})tasuqhRbQc\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8f\x90\x91\x93\x94\x95"
        b"IiopPlSVdgL\x82\x97"
    ]
    names = [
        glob(n)
        for n in (
            "collections OrderedDict",
            "torch._utils _rebuild_tensor_v2",
            "torch FloatStorage",
            "torch Size",
            "torch.nn.parameter Parameter",
            "_codecs encode",
            "numpy dtype",
            "__builtin__ set",
            "torch device",
            "collections Counter",
            "torch._utils _rebuild_parameter",
            "torch._tensor _rebuild_from_type_v2",
            "numpy._core.multiarray _reconstruct",
            "numpy ndarray",
            "torch Tensor",
            "torch float32",
        )
    ]
    parts = [
        *codes,
        *names,
        text("a"),
        number(2**40),
        storage_id(),
        tensor(storage_id()),
        text("storage"),
        b"K\x01",
        b"K\x00",
        b"h\x00",
    ]
    for i in range(300):
        yield f"noise {i}", rng.choice((b"", b"PK\x03\x04", b"\x80\x02")) + rng.randbytes(rng.randrange(200)), True
    for i in range(1500):
        body = b"\x80\x02" + b"".join(rng.choices(parts, k=rng.randrange(1, 40))) + b"."
        yield f"opcodes {i}", checkpoint(body, {"0": bytes(16)}) if i % 3 else legacy(body), False
