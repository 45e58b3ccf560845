"""Names of modules in files: there everything of ours is called as PyTorch calls it."""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

# Where our folders are PyTorch's folders too, so that a class has the same place in both.
SHARED_FOLDERS = ("nn", "optim")
MOVED = {"rushlight.data": "torch.utils.data"}


def torch_name(module: str) -> str:
    """The module under which PyTorch knows what we define in this one; unchanged where it has no such thing.

    >>> torch_name("rushlight.nn.modules.linear"), torch_name("numpy")
    ('torch.nn.modules.linear', 'numpy')
    """
    top, dot, rest = module.partition(".")
    if top != "rushlight":
        return module
    if rest.split(".")[0] in SHARED_FOLDERS:
        return f"torch.{rest}"
    for ours, theirs in MOVED.items():
        if module == ours or module.startswith(ours + "."):
            return theirs + module[len(ours):]
    return module


def our_name(module: str) -> str:
    """The module of ours for one of PyTorch's."""
    for ours, theirs in MOVED.items():
        if module == theirs or module.startswith(theirs + "."):
            return ours + module[len(theirs):]
    if module == "torch" or module.startswith("torch."):
        return "rushlight" + module[5:]
    return module


def python3_name(module: str, name: str) -> tuple[str, str]:
    """Protocols 0 to 2 use Python 2's names of modules (``__builtin__``): the names of today."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[(module, name)]
    return IMPORT_MAPPING.get(module, module), name
