"""Graphs and values as plain data, for files: reading them makes tensors,
numbers and calls of public functions, never anything else.

Values are JSON: what JSON has not is a dictionary with one key that names its kind.
Functions and methods stand by name and are looked up in a table of those that compute.
"""

from __future__ import annotations

import builtins
import io
import json
import keyword
import math
import operator
import os
import zipfile
from collections import OrderedDict
from typing import Any

from rushlight.export.capture import Facts
from rushlight.export.modes import SWITCHES
from rushlight.export.names import METHODS_KEPT_OUT, paths
from rushlight.func.tree import LEAF, Structure
from rushlight.fx.graph import Graph
from rushlight.fx.node import Node, map_arg
from rushlight.tensor.core import Tensor

PLAIN = {
    f"operator.{n}": getattr(operator, n)
    for n in """add sub mul truediv floordiv mod pow matmul neg pos
    and_ or_ xor invert lshift rshift eq ne lt le gt ge getitem setitem""".split()
}
PLAIN.update(
    {
        "math.ceil": math.ceil,
        "math.floor": math.floor,
        "math.trunc": math.trunc,
        "builtins.abs": abs,
        "builtins.round": round,
        "builtins.getattr": getattr,
    }
)
PLAIN.update({path: f for f, path in SWITCHES.items()})
PROPERTIES = ("T", "mT", "H", "mH", "real", "imag", "data")
STRUCTURES: dict[str, Any] = {"tuple": tuple, "list": list, "dict": dict, "OrderedDict": OrderedDict}


class FormatError(RuntimeError):
    """A file is not what it should be."""


# --- values -------------------------------------------------------------------------------------------------------
def encode(x: Any) -> Any:
    """A value of a graph as JSON. FormatError for kinds that files do not hold."""
    from rushlight.ir.dtype import DType
    from rushlight.tensor.device import device
    from rushlight.tensor.formats import layout, memory_format

    if x is None or isinstance(x, (bool, int, str)) and type(x) in (bool, int, str):
        return x
    if isinstance(x, float):
        return {"float": repr(x)}
    if isinstance(x, complex):
        return {"complex": [repr(x.real), repr(x.imag)]}
    if isinstance(x, Node):
        return {"node": x.name}
    if x is ...:
        return {"ellipsis": 0}
    if isinstance(x, (tuple, list)):
        return {"tuple" if isinstance(x, tuple) else "list": [encode(v) for v in x]}
    if isinstance(x, dict):
        return {"dict": [[encode(k), encode(v)] for k, v in x.items()]}
    if isinstance(x, slice):
        return {"slice": [encode(x.start), encode(x.stop), encode(x.step)]}
    for kind, name in ((DType, "dtype"), (device, "device"), (layout, "format"), (memory_format, "format")):
        if isinstance(x, kind):
            return {name: x.name if isinstance(x, DType) else str(x).removeprefix("torch.")}
    raise FormatError(f"files of graphs hold no value of type {type(x).__name__}")


def decode(x: Any, nodes: dict[str, Node]) -> Any:
    """What `encode` wrote."""
    if not isinstance(x, dict):
        return x
    if len(x) != 1:
        raise FormatError("a value of the graph is malformed")
    kind, value = next(iter(x.items()))
    if kind in ("tuple", "list"):
        return STRUCTURES[kind](decode(v, nodes) for v in value)
    if kind not in _DECODE:
        raise FormatError(f"unknown kind of value {kind!r}")
    return _DECODE[kind](value, nodes)


def _node(name: str, nodes: dict[str, Node]) -> Node:
    if name not in nodes:
        raise FormatError(f"the graph reads {name!r} before it is computed")
    return nodes[name]


def _named(name: str, kinds: Any) -> Any:
    import rushlight

    found = getattr(rushlight, str(name), None)
    if not isinstance(found, kinds):
        raise FormatError(f"{name!r} is no name of a {kinds}")
    return found


def _dtype(name: str, nodes: Any) -> Any:
    from rushlight.ir.dtype import DType

    return _named({"bool_": "bool"}.get(name, name), DType)


def _format(name: str, nodes: Any) -> Any:
    from rushlight.tensor.formats import layout, memory_format

    return _named(name, (layout, memory_format))


def _device(name: str, nodes: Any) -> Any:
    from rushlight.tensor.device import device

    return device(str(name))


_DECODE: dict[str, Any] = {
    "float": lambda v, _: float(v),
    "complex": lambda v, _: complex(float(v[0]), float(v[1])),
    "node": _node,
    "ellipsis": lambda v, _: ...,
    "dict": lambda v, n: {decode(k, n): decode(w, n) for k, w in v},
    "slice": lambda v, n: slice(*[decode(w, n) for w in v]),
    "dtype": _dtype,
    "device": _device,
    "format": _format,
}


def encode_structure(s: Structure) -> Any:
    """The form of a nest of arguments."""
    if s.kind is None:
        return None
    if s.kind.__name__ not in STRUCTURES or STRUCTURES[s.kind.__name__] is not s.kind:
        raise FormatError(f"files hold tuples, lists and dictionaries of tensors, not {s.kind.__name__}")
    return {
        "kind": s.kind.__name__,
        "keys": encode(list(s.context)) if s.context is not None else None,
        "children": [encode_structure(c) for c in s.children],
    }


def decode_structure(x: Any) -> Structure:
    """What `encode_structure` wrote."""
    if x is None:
        return LEAF
    kind = STRUCTURES.get(x["kind"])
    if kind is None:
        raise FormatError(f"unknown container {x['kind']!r}")
    keys = None if x["keys"] is None else tuple(decode(x["keys"], {}))
    return Structure(kind, keys, tuple(decode_structure(c) for c in x["children"]))


# --- graphs -------------------------------------------------------------------------------------------------------
def encode_graph(graph: Graph) -> list[Any]:
    """A graph as rows."""
    names = {id(f): path for path, f in paths().items()}
    plain = {id(f): path for path, f in PLAIN.items()}
    rows = []
    for n in graph.nodes:
        target = n.target
        if n.op == "call_function":
            target = plain.get(id(target)) or names.get(id(target))
            if target is None:
                raise FormatError(
                    f"{n.target} is no public function of torch; files of graphs hold calls of those only"
                )
        val = n.meta.get("val")
        row = {
            "name": n.name,
            "op": n.op,
            "target": target,
            "args": [encode(a) for a in n.args],
            "kwargs": {k: encode(v) for k, v in n.kwargs.items()},
        }
        if isinstance(val, Facts):
            row["sizes"], row["shape"], row["dtype"] = (
                list(n.meta.get("sizes", val.shape)),
                list(val.shape),
                val.dtype.name,
            )
        elif isinstance(val, (bool, int, float)):
            row["number"], row["dynamic"] = encode(val), bool(n.meta.get("dynamic"))
        if n.meta.get("mutates"):
            row["mutates"] = [m.name for m in n.meta["mutates"]]
        rows.append(row)
    return rows


def decode_graph(rows: list[Any]) -> Graph:
    """What `encode_graph` wrote; FormatError for anything else, calls of other functions among them."""
    graph, nodes = Graph(), {}
    for row in rows:
        name, op = row["name"], row["op"]
        if not _identifier(name) or name in nodes:
            raise FormatError(f"{name!r} is no name of a value")
        args, kwargs = (
            tuple(decode(a, nodes) for a in row["args"]),
            {k: decode(v, nodes) for k, v in row["kwargs"].items()},
        )
        n = nodes[name] = graph.create_node(op, _target(op, row["target"], args, kwargs), args, kwargs, name=name)
        if n.name != name:
            raise FormatError(f"{name!r} cannot name a value")
        if "shape" in row:
            n.meta["val"] = _facts(row)
            n.meta["sizes"] = tuple(row["sizes"])
        elif "number" in row:
            n.meta["val"], n.meta["dynamic"] = decode(row["number"], {}), row["dynamic"]
        if "mutates" in row:
            n.meta["mutates"] = [_node(m, nodes) for m in row["mutates"]]
    return graph


def _identifier(name: Any) -> bool:
    return (
        isinstance(name, str)
        and name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith("__")
        and not hasattr(builtins, name)
    )


def _facts(row: Any) -> Facts:
    f = Facts.__new__(Facts)
    f.shape, f.dtype, f.requires_grad = tuple(row["shape"]), _dtype(row["dtype"], None), False
    return f


def _target(op: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not isinstance(target, str) or not all(k.isidentifier() and not keyword.iskeyword(k) for k in kwargs):
        raise FormatError("a row of the graph is malformed")
    if op == "call_function":
        found = PLAIN.get(target) or paths().get(target)
        if found is None:
            raise FormatError(f"{target!r} is no function that files may call")
        if found is getattr and (len(args) != 2 or not isinstance(args[0], Node) or args[1] not in PROPERTIES):
            raise FormatError(f"{args[1:]!r} is no attribute that files may read")
        return found
    if op == "call_method":
        if not _method(target) or not args or not isinstance(args[0], Node):
            raise FormatError(f"{target!r} is no method that files may call")
        return target
    if (
        op == "placeholder"
        and not _identifier(target.lstrip("*"))
        and not target.isidentifier()
        or op not in ("placeholder", "get_attr", "output")
    ):
        raise FormatError(f"a row of the graph is malformed ({op})")
    if op == "get_attr" and not all(
        p and not p.startswith("__") and p.replace("_", "a").isalnum() for p in target.split(".")
    ):
        raise FormatError(f"{target!r} is no name of a parameter")
    return target


def _method(name: str) -> bool:
    return (
        name.isidentifier()
        and callable(getattr(Tensor, name, None))
        and name not in METHODS_KEPT_OUT
        and (
            not name.startswith("_")
            or name
            in (
                "__iadd__",
                "__isub__",
                "__imul__",
                "__itruediv__",
                "__ipow__",
                "__ifloordiv__",
                "__imod__",
                "__iand__",
                "__ior__",
                "__ixor__",
                "__pos__",
            )
        )
    )


# --- archives -----------------------------------------------------------------------------------------------------
def write_archive(
    f: Any, kind: str, records: dict[str, Any], tensors: dict[str, Any], extra: dict[str, Any] | None = None
) -> None:
    """A zip file: `format.json` names the kind, each record is a file of text or JSON, tensors lie in `tensors.pt`
    (torch.save's format)."""
    import rushlight

    memory, store = io.BytesIO(), io.BytesIO()
    rushlight.save(tensors, store)
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as z:
        z.writestr("format.json", json.dumps({"kind": kind, "version": 1}))
        for name, record in records.items():
            z.writestr(name, record if isinstance(record, str) else json.dumps(record))
        z.writestr("tensors.pt", store.getvalue())
        for name, content in (extra or {}).items():
            z.writestr(f"extra/{name}", content if isinstance(content, bytes) else str(content))
    if hasattr(f, "write"):
        f.write(memory.getvalue())
        return
    from rushlight.serialization.atomic import replacing

    with replacing(f) as file:
        file.write(memory.getvalue())


def read_archive(
    f: Any, kind: str, other: str, extra: dict[str, Any] | None = None, map_location: Any = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """The records and tensors of an archive; ``extra`` is filled with the files that it names. FormatError with
    ``other`` for foreign files."""
    import rushlight

    if not hasattr(f, "read") and not os.path.exists(f):
        raise ValueError(f"The provided filename {f} does not exist")
    data = f.read() if hasattr(f, "read") else None
    try:
        with zipfile.ZipFile(io.BytesIO(data) if data is not None else f) as z:
            names = set(z.namelist())
            found = json.loads(z.read("format.json")) if "format.json" in names else None
            if not isinstance(found, dict) or found.get("kind") != kind:
                raise FormatError(other)
            if found.get("version") != 1:
                raise FormatError(
                    f"the file has version {found.get('version')!r} of its format; "
                    "this version of rushlight reads version 1"
                )
            for name in extra or {}:
                if f"extra/{name}" in names:
                    extra[name] = z.read(f"extra/{name}")  # type: ignore[index]
            records = {
                n: z.read(n).decode("utf8")
                for n in names
                if n.endswith((".json", ".py")) and not n.startswith("extra/")
            }
            tensors = rushlight.load(io.BytesIO(z.read("tensors.pt")), map_location=map_location, weights_only=True)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, UnicodeDecodeError) as e:
        raise FormatError(f"{other} ({type(e).__name__}: {e})") from e
    return records, tensors


__all__ = [
    "FormatError",
    "decode",
    "decode_graph",
    "decode_structure",
    "encode",
    "encode_graph",
    "encode_structure",
    "map_arg",
    "read_archive",
    "write_archive",
]
