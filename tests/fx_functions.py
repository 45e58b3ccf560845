"""Functions that the tests of torch.fx wrap at module scope."""

from __future__ import annotations

from typing import Any

import rushlight.fx as fx


@fx.wrap
def opaque(x: Any, n: int) -> Any:
    if float(x.sum()) > 0:  # must not be traced through
        return x * n
    return x


def sized(x: Any) -> Any:
    return x * len(x)


fx.wrap("len")
