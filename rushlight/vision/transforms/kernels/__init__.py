"""Transforms of pictures as NumPy arrays (..., C, H, W); nothing here knows tensors or PIL."""
