"""torch.linalg."""

from rushlight.tensor.functions.linalg import *  # noqa: F403
from rushlight.exec.numpy.linalg import LinAlgError  # noqa: F401
from rushlight.tensor.functions.linalg import vector_norm  # noqa: F401
