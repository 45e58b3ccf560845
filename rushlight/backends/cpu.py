"""torch.backends.cpu."""


def get_cpu_capability() -> str:
    """The vector instructions in use: "AVX512", "AVX2" or "DEFAULT"."""
    from rushlight.exec.cpu import host
    return {64: "AVX512", 32: "AVX2"}.get(host.vector_bytes(), "DEFAULT") if host.available() else "DEFAULT"
