"""torch.xpu: Intel's GPUs, which are not used."""


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def _absent(*args: object, **kwargs: object) -> None:
    """AssertionError: there is no XPU."""
    raise AssertionError("Torch not compiled with XPU enabled")


current_device = synchronize = set_device = get_device_name = get_device_properties = _absent
get_rng_state = set_rng_state = memory_allocated = _absent


def manual_seed_all(seed: int) -> None:
    """Nothing: there is no such generator."""


manual_seed = manual_seed_all


def empty_cache() -> None:
    """Nothing: there is no memory to free."""


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False
