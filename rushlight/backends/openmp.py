"""torch.backends.openmp."""


def is_available() -> bool:
    """Whether plans may use an OpenMP runtime."""
    from rushlight.exec.cpu.onednn import openmp
    return openmp.runtime() is not None
