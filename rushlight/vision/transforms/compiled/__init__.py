"""Compiled kernels for the hot path of reading pictures from files."""
