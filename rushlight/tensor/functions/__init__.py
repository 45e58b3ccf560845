"""Every public function on tensors, by family."""

from rushlight.tensor.functions import combined, counting, diagonals, indexing, joining, pointwise, products, reduction, shape, splitting, turning
from rushlight.tensor.functions.combined import *  # noqa: F403
from rushlight.tensor.functions.counting import *  # noqa: F403
from rushlight.tensor.functions.diagonals import *  # noqa: F403
from rushlight.tensor.functions.indexing import *  # noqa: F403
from rushlight.tensor.functions.joining import *  # noqa: F403
from rushlight.tensor.functions.pointwise import *  # noqa: F403
from rushlight.tensor.functions.products import *  # noqa: F403
from rushlight.tensor.functions.reduction import *  # noqa: F403
from rushlight.tensor.functions.shape import *  # noqa: F403
from rushlight.tensor.functions.splitting import *  # noqa: F403
from rushlight.tensor.functions.turning import *  # noqa: F403

FAMILIES = (pointwise, shape, joining, splitting, turning, reduction, indexing, diagonals, products, combined, counting)
__all__ = [name for family in FAMILIES for name in family.__all__]  # the functions, not the files that hold them
