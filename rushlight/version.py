"""Versions (torch.version): of PyTorch's API, which programs compare; there are no GPU toolkits."""

__version__ = "2.13.0+rushlight"
cuda = hip = xpu = rocm = None
debug = False
git_version = "unknown"
