"""The argument block of generated matrix products, and the ways in which they read their operands."""

from __future__ import annotations

SLOTS = ("*a", "*a_starts", "a_row", "a_k", "*b", "*b_starts", "b_k", "b_n", "*out", "*bias", "m", "n", "k", "unit_rows", "unit_columns", "row_parts",
         "column_parts", "together", "block_rows", "block_columns", "block_k", "k_blocks", "a_way", "b_way", "relu", "*scratch", "scratch_size", "b_at", "sums_at", "*panels")
# ways to read an operand: as it lies; packed here from vectors along its units, along k, or one by one; from panels packed before
DIRECT, UNITS, ALONG_K, ANY, PACKED = range(5)
