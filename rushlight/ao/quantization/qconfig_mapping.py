"""QConfigMapping: qconfigs by name and type, for `quantize_fx`."""

from __future__ import annotations

import re
from typing import Any

from rushlight.ao.quantization.qconfig import get_default_qat_qconfig, get_default_qconfig


class QConfigMapping:
    """The qconfig of each module: by its name, by a regular expression, by its type, else the global one.

    >>> mapping = QConfigMapping().set_global(get_default_qconfig()).set_module_name("head", None)
    >>> mapping.of("head", object) is None, mapping.of("body", object) is None
    (True, False)
    """

    def __init__(self) -> None:
        self.global_qconfig: Any = None
        self.object_type_qconfigs: dict[Any, Any] = {}
        self.module_name_regex_qconfigs: dict[str, Any] = {}
        self.module_name_qconfigs: dict[str, Any] = {}

    def set_global(self, global_qconfig: Any) -> QConfigMapping:
        """The qconfig of everything that has no other."""
        self.global_qconfig = global_qconfig
        return self

    def set_object_type(self, object_type: Any, qconfig: Any) -> QConfigMapping:
        """The qconfig of a class of modules."""
        self.object_type_qconfigs[object_type] = qconfig
        return self

    def set_module_name_regex(self, module_name_regex: str, qconfig: Any) -> QConfigMapping:
        """The qconfig of modules whose full name matches."""
        self.module_name_regex_qconfigs[module_name_regex] = qconfig
        return self

    def set_module_name(self, module_name: str, qconfig: Any) -> QConfigMapping:
        """The qconfig of a module and all within it."""
        self.module_name_qconfigs[module_name] = qconfig
        return self

    def of(self, name: str, kind: Any) -> Any:
        """The qconfig for a module of that name and type."""
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            if ".".join(parts[:end]) in self.module_name_qconfigs:
                return self.module_name_qconfigs[".".join(parts[:end])]
        for pattern, config in self.module_name_regex_qconfigs.items():
            if re.match(pattern, name):
                return config
        return self.object_type_qconfigs.get(kind, self.global_qconfig)

    @classmethod
    def from_dict(cls, qconfig_dict: dict[str, Any]) -> QConfigMapping:
        """From the older form with "", "object_type", "module_name_regex" and "module_name"."""
        made = cls().set_global(qconfig_dict.get("", None))
        for key, setter in (("object_type", made.set_object_type), ("module_name_regex", made.set_module_name_regex),
                            ("module_name", made.set_module_name)):
            for name, config in qconfig_dict.get(key, ()):
                setter(name, config)
        return made


def get_default_qconfig_mapping(backend: str = "x86", version: int = 0) -> QConfigMapping:
    """Static quantization of everything with the defaults of a backend."""
    return QConfigMapping().set_global(get_default_qconfig(backend, version))


def get_default_qat_qconfig_mapping(backend: str = "x86", version: int = 1) -> QConfigMapping:
    """Training with fake quantization of everything."""
    return QConfigMapping().set_global(get_default_qat_qconfig(backend, version))
