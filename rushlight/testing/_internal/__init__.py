"""Parts of PyTorch's own test tools that other projects' tests import."""
