"""torch.jit.save and load: a zip of JSON, source text and tensors. Loading runs nothing of the file but checked code,
when it is called."""

from __future__ import annotations

import inspect
import json
from collections import OrderedDict
from typing import Any

from rushlight.export.captured import Captured, Placeholder
from rushlight.export.files import (
    FormatError,
    decode,
    decode_graph,
    decode_structure,
    encode,
    encode_graph,
    encode_structure,
    read_archive,
    write_archive,
)
from rushlight.export.saving import _signature
from rushlight.jit.language import Namespace, functions, reachable
from rushlight.jit.scripted import RecursiveScriptModule, ScriptFunction, ScriptModule
from rushlight.jit.sources import Sources, library_class, library_name, named, names_used
from rushlight.jit.traced import LoadedFunction, LoadedModule, TopLevelTracedModule, Traced, TracedFunction
from rushlight.nn import Module
from rushlight.nn.parameter import Parameter

KIND = "rushlight.jit"
FOREIGN = (
    "this is no file that rushlight's torch.jit.save wrote. rushlight does not run PyTorch's TorchScript archives: "
    "save the module with rushlight, or build the "
    "model's class and load its weights with torch.load(..., weights_only=True)"
)
USUAL = frozenset(vars(Module())) | {
    "_module",
    "_traced",
    "_methods",
    "_original_name",
    "_sources",
    "_names",
    "_trace_error",
}


def save(m: Any, f: Any, _extra_files: dict[str, Any] | None = None) -> None:
    """Write a traced or scripted module or function to a path or file,
    so that `load` needs none of the classes that defined it.

    ``_extra_files`` are texts or bytes kept beside it. A traced module is its graph; a scripted one is the source of
    its methods, in a part of Python without imports, classes, try, properties and super(). AttributeError for modules
    that are neither; RuntimeError for what cannot be written.
    """
    if not isinstance(m, (ScriptModule, ScriptFunction)):
        raise AttributeError(
            f"'{type(m).__name__}' object has no attribute 'save_to_buffer': torch.jit.save writes what "
            "torch.jit.trace or torch.jit.script gave"
        )
    writer = _Writer()
    try:
        record = writer.whole(m)
    except FormatError as e:
        raise RuntimeError(f"jit.save: {e}") from e
    write_archive(f, KIND, {"model.json": record, **writer.files}, {"tensors": writer.tensors}, _extra_files)


class _Writer:
    """Turns modules into plain data; tensors get numbers, so that those shared by two names stay shared."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.files: dict[str, str] = {}
        self._numbers: dict[int, int] = {}
        self._classes: dict[type, int] = {}
        self._held: list[Any] = []

    def tensor(self, t: Any) -> int | None:
        """A tensor's number."""
        if t is None:
            return None
        if id(t) not in self._numbers:
            self._numbers[id(t)] = len(self.tensors)
            self.tensors.append(t.detach())
            self._held.append(t)
        return self._numbers[id(t)]

    def whole(self, m: Any) -> dict[str, Any]:
        traced = m.__dict__.get("_traced")
        if m.__dict__.get("_trace_error") is not None:
            raise RuntimeError(
                f"jit.save: the module was traced, but its graph could not be captured: {m.__dict__['_trace_error']}"
            )
        module = m.__dict__.get("_module", m) if isinstance(m, Module) else Module()
        if traced is not None:
            root = next((c.root for c in traced.methods.values() if c.root is not None), module)
            return {
                "traced": {name: self.graph(c) for name, c in traced.methods.items()},
                "function": isinstance(m, (TracedFunction, LoadedFunction)),
                "name": getattr(m, "original_name", None) or getattr(m, "__name__", "function"),
                "root": self.module(root, False),
            }
        if isinstance(m, ScriptFunction):
            sources = Sources(m.__name__)
            sources.function("forward", inspect.unwrap(m._function))
            return {
                "scripted": self.sources(sources),
                "function": True,
                "name": m.__name__,
                "root": self.module(Module(), False),
            }
        if isinstance(m, LoadedFunction):
            return {
                "scripted": self.rewritten(m),
                "function": True,
                "name": m.original_name,
                "root": self.module(Module(), False),
            }
        return {
            "function": False,
            "name": getattr(m, "original_name", type(module).__name__),
            "root": self.module(module, True),
        }

    def graph(self, c: Captured) -> dict[str, Any]:
        return {
            "graph": encode_graph(c.graph),
            "constants": {k: self.tensor(v) for k, v in c.constants.items()},
            "in_tree": encode_structure(c.in_tree),
            "out_tree": encode_structure(c.out_tree),
            "leaves": [{"tensor": x.name} if isinstance(x, Placeholder) else {"value": encode(x)} for x in c.leaves],
            "parameters": None if c.signature is None else [
                [p.name, int(p.kind), encode(p.default) if p.default is not p.empty else "none"]
                for p in c.signature.parameters.values()
            ],
        }

    def module(self, m: Module, scripted: bool) -> dict[str, Any]:
        """A module: names of its tensors, its children, and with ``scripted`` what its class does."""
        if isinstance(m, RecursiveScriptModule):
            m = m.__dict__["_module"]
        out: dict[str, Any] = {
            "class": getattr(m, "original_name", type(m).__name__),
            "training": m.training,
            "parameters": [[k, self.tensor(p), p is not None and p.requires_grad] for k, p in m._parameters.items()],
            "buffers": [[k, self.tensor(b), k not in m._non_persistent_buffers_set] for k, b in m._buffers.items()],
            "modules": [[k, None if c is None else self.module(c, scripted)] for k, c in m._modules.items()],
        }
        if not scripted:
            return out
        library = library_name(type(m))
        if library is not None:
            out["library"] = library
            out["attributes"] = self.attributes(m, names_used(type(m)), type(m).__name__)
            return out
        if isinstance(m, LoadedModule):
            return {
                **out,
                "attributes": self.attributes(m, None, m.original_name),
                **({"methods": self.rewritten(m)} if "_sources" in m.__dict__ else {}),
            }
        sources = Sources(type(m).__name__)
        if type(m).forward is not Module.forward:
            sources.method(type(m), "forward")
        for name, f in vars(type(m)).items():
            if getattr(f, "_exported", False):
                sources.method(type(m), name)
        out["methods"] = self.sources(sources)
        out["attributes"] = self.attributes(m, sources.attributes, type(m).__name__)
        return out

    def attributes(self, m: Module, read: set[str] | None, title: str) -> dict[str, Any]:
        """The plain attributes; those that code reads (all of them for None) must be such."""
        out = {}
        held = {
            **{
                k: getattr(type(m), k)
                for k in (read or ())
                if k not in m.__dict__ and k != "training" and hasattr(type(m), k) and not hasattr(Module, k)
            },
            **m.__dict__,
        }
        for k, v in held.items():
            if k in USUAL:
                continue
            row = named(v)
            if row is None and isinstance(v, Module):
                continue
            if row is not None and (k in m.__dict__ or read is None or library_name(type(m)) is None):
                out[k] = row
            elif k not in m.__dict__:
                continue
            elif read is None or k in read:
                raise RuntimeError(
                    f"jit.save: {title}.{k} is a value of type {type(v).__name__}, "
                    "which files of scripted modules cannot hold"
                )
        return out

    def sources(self, s: Sources) -> dict[str, Any]:
        file = f"code/{len(self.files)}_{s.title}.py"
        self.files[file] = "\n\n\n".join(s.functions.values()) + "\n"
        return {"file": file, "names": s.names, "methods": list(s.functions)}

    def rewritten(self, m: LoadedModule) -> dict[str, Any]:
        """A loaded module's own source again."""
        sources = Sources(m.original_name)
        sources.functions, sources.names = dict(m.__dict__["_sources"]), dict(m.__dict__["_names"])
        return self.sources(sources)


# --- reading ------------------------------------------------------------------------------------------------------
def load(
    f: Any, map_location: Any = None, _extra_files: dict[str, Any] | None = None, _restore_shapes: bool = False
) -> ScriptModule:
    """The module that `save` wrote; ``_extra_files`` is filled with the files that it names (as bytes).

    ValueError where there is no file, RuntimeError for other files
    (PyTorch's own archives among them) and for damaged ones.
    """
    records, tensors = read_archive(f, KIND, FOREIGN, _extra_files, map_location)
    try:
        return _Reader(records, tensors["tensors"]).whole(json.loads(records["model.json"]))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as e:
        raise RuntimeError(f"jit.load: the file is damaged ({type(e).__name__}: {e})") from e


class _Reader:
    """Makes modules of plain data."""

    def __init__(self, records: dict[str, str], tensors: list[Any]):
        self.records, self.tensors = records, tensors
        self.parameters: dict[int, Parameter] = {}

    def whole(self, p: dict[str, Any]) -> ScriptModule:
        root = self.module(p["root"])
        if not isinstance(root, LoadedModule):  # a module of the library, scripted by itself
            return RecursiveScriptModule(root)
        if p["function"]:
            root.__class__ = LoadedFunction
        root.__dict__["_original_name"] = p["name"]
        if "traced" in p:
            root.__dict__["_traced"] = Traced({name: self.graph(row, root) for name, row in p["traced"].items()})
        elif "scripted" in p:
            self.code(root, p["scripted"])
            forward = root.__dict__["_methods"]["forward"]
            root.__dict__["_methods"]["forward"] = lambda _, *args, **kwargs: forward(*args, **kwargs)
        return root

    def graph(self, row: dict[str, Any], root: Module) -> Captured:
        leaves = [Placeholder(x["tensor"]) if "tensor" in x else decode(x["value"], {}) for x in row["leaves"]]
        return Captured.of(
            decode_graph(row["graph"]),
            root,
            {k: self.tensors[i] for k, i in row["constants"].items()},
            _signature(row["parameters"]),
            decode_structure(row["in_tree"]),
            leaves,
            decode_structure(row["out_tree"]),
        )

    def module(self, row: dict[str, Any]) -> Any:
        if "library" in row:
            cls = library_class(row["library"])
            m: Any = cls.__new__(cls)
            Module.__init__(m)
        else:
            m = LoadedModule(str(row["class"]))
        for k, i, trained in row["parameters"]:
            if i is not None and i not in self.parameters:
                self.parameters[i] = Parameter(self.tensors[i], requires_grad=trained)
            m._parameters[k] = None if i is None else self.parameters[i]
        for k, i, kept in row["buffers"]:
            m._buffers[k] = None if i is None else self.tensors[i]
            if not kept:
                m._non_persistent_buffers_set.add(k)
        for k, child in row["modules"]:
            m._modules[k] = None if child is None else self.module(child)
        for k, value in row.get("attributes", {}).items():
            if not isinstance(k, str) or k.startswith("__") or k in USUAL:
                raise FormatError(f"{k!r} is no attribute of a module")
            m.__dict__[k] = self.named(value, {})
        m.__dict__["training"] = bool(row["training"])
        if "methods" in row:
            self.code(m, row["methods"])
        return m

    def named(self, row: dict[str, Any], own: dict[str, Any]) -> Any:
        ((kind, value),) = row.items()
        if kind == "value":
            return decode(value, {})
        if kind == "torch":
            found = Namespace(value) if value in ("torch", "math") else reachable().get(value)
            if found is None:
                raise FormatError(f"{value!r} is not available to scripted modules in files")
            return found
        raise FormatError(f"a name stands for {kind!r}")

    def code(self, m: Any, row: dict[str, Any]) -> None:
        """Give a module its methods."""
        import ast

        names = {k: self.named(v, {}) for k, v in row["names"].items() if "function" not in v}
        if any(not k.isidentifier() or k.startswith(("__", "_rl_")) for k in names):
            raise FormatError("a global name is malformed")
        text = self.records[row["file"]]
        made = functions(text, names, row["file"])
        m.__dict__["_methods"] = {k: made[k] for k in row["methods"]}
        m.__dict__["_sources"] = {
            s.name: ast.unparse(s) for s in ast.parse(text).body if isinstance(s, ast.FunctionDef)
        }
        m.__dict__["_names"] = row["names"]


__all__ = ["OrderedDict", "TopLevelTracedModule", "load", "save"]
