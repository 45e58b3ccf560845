"""The language of scripted modules in files: a checked part of Python, in which every name and attribute is looked up
in a table.

A file holds source text. It is parsed, checked node by node, rewritten so that attributes are read through `get` and
calls of str.format through `formatted`, and compiled without Python's own builtins. What code can reach are
parameters, attributes and methods of the modules in the file, methods of tensors, lists, dictionaries and texts that
are named here, and the public functions of torch.
"""

from __future__ import annotations

import ast
import math
import operator
import string
from collections.abc import Callable
from types import CodeType
from typing import Any

from rushlight.export.files import PROPERTIES, _method
from rushlight.nn import Module
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.shape import Size

ALLOWED = tuple(
    getattr(ast, n)
    for n in """Module FunctionDef arguments arg Return Assign AugAssign AnnAssign
    For While If With withitem Break Continue Pass Expr Assert Raise Call keyword Starred Name Constant Attribute
    Subscript Slice Tuple List Dict Set ListComp DictComp GeneratorExp comprehension BinOp UnaryOp BoolOp Compare IfExp
    JoinedStr FormattedValue Load Store And Or Add Sub Mult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv
    MatMult Not Invert UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn""".split()
)
HELPERS = "_rl_"
FACTS = ("shape", "dtype", "device", "ndim", "requires_grad", "is_cuda", "layout", "itemsize", "is_leaf")
METHODS: dict[type, tuple[str, ...]] = {
    list: ("append", "extend", "insert", "pop", "index", "count", "reverse", "sort", "copy", "clear", "remove"),
    dict: ("keys", "values", "items", "get", "pop", "setdefault", "update", "copy", "clear"),
    str: ("join", "lower", "upper", "startswith", "endswith", "split", "strip", "replace", "find"),
    tuple: ("index", "count"),
    Size: ("numel", "index", "count"),
    int: (),
    float: (),
    bool: (),
    slice: ("start", "stop", "step"),
}
RECORDS = ("finfo", "iinfo", "device")  # plain facts
OF_MODULES = ("training", "forward", "weight", "bias", "flatten_parameters", "values", "keys", "items")
BUILTINS: dict[str, Any] = {
    f.__name__: f
    for f in (
        range,
        len,
        int,
        float,
        bool,
        str,
        abs,
        min,
        max,
        sum,
        enumerate,
        zip,
        list,
        dict,
        tuple,
        isinstance,
        print,
        round,
        sorted,
        reversed,
        all,
        any,
        slice,
        divmod,
        set,
        ValueError,
        RuntimeError,
        AssertionError,
        NotImplementedError,
        TypeError,
        KeyError,
        IndexError,
        Exception,
    )
}
IN_PLACE = {
    ast.Add: operator.iadd,
    ast.Sub: operator.isub,
    ast.Mult: operator.imul,
    ast.Div: operator.itruediv,
    ast.FloorDiv: operator.ifloordiv,
    ast.Mod: operator.imod,
    ast.Pow: operator.ipow,
    ast.MatMult: operator.imatmul,
    ast.BitAnd: operator.iand,
    ast.BitOr: operator.ior,
    ast.BitXor: operator.ixor,
}


class LanguageError(RuntimeError):
    """Code uses what files of scripted modules do not hold."""


class Namespace:
    """A module of torch as code sees it: its public functions, dtypes and a few more names."""

    def __init__(self, name: str):
        self.name = name

    def find(self, name: str) -> Any:
        """What the namespace has under a name; LanguageError where it has nothing that code may use."""
        path = f"{self.name}.{name}"
        found = reachable().get(path)
        if found is None:
            raise LanguageError(f"{path} is not available to scripted modules in files")
        return found


_reachable: dict[str, Any] = {}


def reachable() -> dict[str, Any]:
    """Everything outside of a file that its code may name."""
    if not _reachable:
        import rushlight as rl
        from rushlight.export.names import paths
        from rushlight.ir.dtype import DType

        _reachable.update(paths())
        _reachable.update({f"torch.{n}": v for n, v in vars(rl).items() if isinstance(v, DType)})
        _reachable.update({f"math.{n}": v for n, v in vars(math).items() if not n.startswith("_")})
        for n in ("torch.nn", "torch.nn.functional", "torch.linalg", "torch.fft", "torch.special", "torch.jit"):
            _reachable[n] = Namespace(n)
        _reachable.update(
            {
                "torch.Tensor": rl.Tensor,
                "torch.Size": Size,
                "torch.device": rl.device,
                "torch.no_grad": rl.no_grad,
                "torch.inf": math.inf,
                "torch.pi": math.pi,
                "torch.nan": math.nan,
                "torch.strided": rl.strided,
                "torch.contiguous_format": rl.contiguous_format,
                "torch.channels_last": rl.channels_last,
                "torch.jit.is_scripting": lambda: True,
                "torch.jit.is_tracing": lambda: False,
                "torch.jit.annotate": lambda kind, value: value,
                "torch.is_grad_enabled": rl.is_grad_enabled,
                "torch.nn.functional": Namespace("torch.nn.functional"),
                "torch.finfo": rl.finfo,
                "torch.iinfo": rl.iinfo,
                "torch.is_tensor": rl.is_tensor,
                "torch.manual_seed": rl.manual_seed,
            }
        )
    return _reachable


# --- attributes ---------------------------------------------------------------------------------------------------
def get(x: Any, name: str) -> Any:
    """The attribute of a value, where code may read it."""
    if isinstance(x, Namespace):
        return x.find(name)
    if isinstance(x, Module):
        methods = x.__dict__.get("_methods")
        if methods is not None and name in methods:
            return lambda *a, **k: methods[name](x, *a, **k)
        for space in ("_parameters", "_buffers", "_modules"):
            if name in x.__dict__[space]:
                return x.__dict__[space][name]
        if not name.startswith("_") and (name in x.__dict__ or name in OF_MODULES):
            return getattr(x, name)
    elif isinstance(x, Tensor):
        if name in PROPERTIES or name in FACTS or _method(name) or name in ("tolist", "is_nested"):
            return getattr(x, name)
    elif isinstance(x, tuple) and name in (getattr(x, "_fields", None) or ()) or name in METHODS.get(type(x), ()):
        return getattr(x, name)
    elif not name.startswith("_") and (type(x).__module__ == "rushlight.return_types" or type(x).__name__ in RECORDS):
        return getattr(x, name)
    raise LanguageError(
        f"attribute {name!r} of a value of type {type(x).__name__} is not available to scripted modules in files"
    )


def put(x: Any, name: str, value: Any) -> None:
    """Set an attribute of a module."""
    if (
        not isinstance(x, Module)
        or name.startswith("_")
        or name in (x.__dict__.get("_methods") or ())
        or name in ("forward",)
    ):
        raise LanguageError(
            f"code sets attribute {name!r} of a value of type {type(x).__name__}; it may set attributes of modules only"
        )
    setattr(x, name, value)


def has(x: Any, name: str) -> bool:
    """Whether `get` finds something."""
    try:
        get(x, name)
    except (LanguageError, AttributeError):
        return False
    return True


class _Formatter(string.Formatter):
    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        if "." in field_name or "[" in field_name:
            raise LanguageError("a format text reads an attribute")
        return super().get_field(field_name, args, kwargs)


def formatted(text: str, *args: Any, **kwargs: Any) -> str:
    """str.format without attributes."""
    return _Formatter().format(text, *args, **kwargs)


# --- checking and compiling ---------------------------------------------------------------------------------------
class _Rewriter(ast.NodeTransformer):
    """Checks every node, drops annotations, and turns attributes into calls."""

    def generic_visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ALLOWED):
            raise LanguageError(
                f"line {getattr(node, 'lineno', '?')}: "
                f"{type(node).__name__} is not part of the language of scripted modules in files"
            )
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id.startswith(("__", HELPERS)):
            raise LanguageError(f"line {node.lineno}: the name {node.id!r}")
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        if node.arg.startswith(("__", HELPERS)):
            raise LanguageError(f"line {node.lineno}: the name {node.arg!r}")
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if node.name.startswith(("__", HELPERS)):
            raise LanguageError(f"line {node.lineno}: the name {node.name!r}")
        node.returns, node.decorator_list = None, []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_Assign(self, node: ast.Assign) -> Any:
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Attribute):
            t = node.targets[0]
            return self._statement(node, "put", [self.visit(t.value), ast.Constant(t.attr), self.visit(node.value)])
        return self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        t = node.target
        if not isinstance(t, ast.Attribute):
            return self.generic_visit(node)
        if type(node.op) not in IN_PLACE or not isinstance(t.value, ast.Name):
            raise LanguageError(f"line {node.lineno}: this form of assignment")
        owner = self.visit(t.value)
        read = self._call("get", [owner, ast.Constant(t.attr)])
        new = self._call(IN_PLACE[type(node.op)].__name__, [read, self.visit(node.value)])
        return self._statement(node, "put", [ast.Name(t.value.id, ast.Load()), ast.Constant(t.attr), new])

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if not isinstance(node.ctx, ast.Load):
            raise LanguageError(f"line {node.lineno}: an attribute among several targets")
        return ast.copy_location(self._call("get", [self.visit(node.value), ast.Constant(node.attr)]), node)

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            made = self._call("formatted", [self.visit(node.func.value), *map(self.visit, node.args)])
            made.keywords = [self.visit(k) for k in node.keywords]
            return ast.copy_location(made, node)
        return self.generic_visit(node)

    @staticmethod
    def _call(name: str, args: list[Any]) -> ast.Call:
        return ast.Call(ast.Name(HELPERS + name, ast.Load()), args, [])

    def _statement(self, node: ast.stmt, name: str, args: list[Any]) -> Any:
        return ast.copy_location(ast.Expr(self._call(name, args)), node)


def check(source: str, file: str = "<scripted module>") -> CodeType:
    """The code of a text of functions. LanguageError where it leaves the language."""
    try:
        tree = ast.parse(source)
    except SyntaxError as e:
        raise LanguageError(f"the source in the file does not parse: {e}") from e
    if not all(isinstance(s, ast.FunctionDef) for s in tree.body):
        raise LanguageError("the source in the file holds something else than functions")
    return compile(ast.fix_missing_locations(_Rewriter().visit(tree)), file, "exec")


def functions(source: str, names: dict[str, Any], file: str = "<scripted module>") -> dict[str, Callable[..., Any]]:
    """The functions of a text, which see ``names`` and the builtins of the language."""
    helpers = {"get": get, "put": put, "has": has, "formatted": formatted, **{f.__name__: f for f in IN_PLACE.values()}}
    builtins = {
        **BUILTINS,
        "getattr": lambda x, name, *default: get(x, name) if not default or has(x, name) else default[0],
        "hasattr": has,
    }
    space: dict[str, Any] = {"__builtins__": builtins, **{HELPERS + k: v for k, v in helpers.items()}, **names}
    before = set(space)
    exec(check(source, file), space)  # checked: the code reaches nothing but these names
    return {k: v for k, v in space.items() if k not in before}


__all__ = ["BUILTINS", "LanguageError", "Namespace", "check", "functions", "get", "reachable"]
