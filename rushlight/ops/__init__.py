"""The table of operations; as ``torch.ops`` also the namespaces of operators by qualified name (`rushlight._ops`)."""

from typing import Any


def __getattr__(name: str) -> Any:
    from rushlight import _ops
    if name.startswith("_") or not _ops.known(name):
        raise AttributeError(f"module 'torch.ops' has no operators in the namespace '{name}'")
    return _ops.namespace(name)
