"""The modules in which PyTorch keeps its benchmark tools."""
