"""torch.utils.data."""

from rushlight.data import *  # noqa: F403
from rushlight.utils.data import dataloader, dataset, distributed, sampler  # noqa: F401


def __getattr__(name: str):
    if name == "datapipes":
        import importlib
        return importlib.import_module("rushlight.utils.data.datapipes")
    if name in ("IterDataPipe", "MapDataPipe", "functional_datapipe"):
        from rushlight.data import pipes
        return getattr(pipes, name)
    raise AttributeError(f"module 'rushlight.utils.data' has no attribute {name!r}; "
                         f"rushlight does not provide torch.utils.data.{name}")
