"""The statements of random programs: one maker each, in a table with weights.

What PyTorch leaves undefined is not generated; the comment beside each condition says what that is.
"""

from __future__ import annotations

from program_arithmetic import binary, join, lookup, product, reduction, selection, ternary, unary
from program_creation import cast, copy, fill, layout, literal, outside, outside_write, start, to_outside
from program_gradients import backward, forget, gradient, look, mark, switch, use_gradient
from program_layers import image, layer
from program_views import view
from program_writes import change_shape, write_elementwise, write_indexed, write_item, write_masked, write_unary

__all__ = ["STATEMENTS", "TOTAL", "start"]
STATEMENTS = (
    (5, literal),
    (4, fill),
    (2, layout),
    (3, outside),
    (2, outside_write),
    (2, to_outside),
    (22, view),
    (5, copy),
    (3, cast),
    (12, write_elementwise),
    (6, write_unary),
    (9, write_item),
    (4, write_masked),
    (6, write_indexed),
    (4, change_shape),
    (8, unary),
    (12, binary),
    (4, ternary),
    (7, reduction),
    (4, selection),
    (5, product),
    (5, join),
    (5, lookup),
    (6, switch),
    (5, mark),
    (9, backward),
    (5, gradient),
    (4, use_gradient),
    (5, look),
    (5, forget),
    (5, image),
    (25, layer),
)
TOTAL = sum(weight for weight, _ in STATEMENTS)
