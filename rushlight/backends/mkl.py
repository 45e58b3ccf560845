"""torch.backends.mkl: products are computed by other libraries."""


def is_available() -> bool:
    """False: see `rushlight info` for the libraries in use."""
    return False
