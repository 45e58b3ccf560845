"""torch.backends.opt_einsum: einsum finds its order of contraction itself."""

enabled, strategy = False, None


def is_available() -> bool:
    """False."""
    return False
