"""Every public function on tensors, by family."""

from rushlight.tensor.functions import (
    combined, complex_numbers, composites, counting, diagonals, distances, indexing, joining, norms, ordering, pointwise,
    products, reduction, shape, splitting, turning)
from rushlight.tensor.functions.combined import *  # noqa: F403
from rushlight.tensor.functions.counting import *  # noqa: F403
from rushlight.tensor.functions.diagonals import *  # noqa: F403
from rushlight.tensor.functions.distances import *  # noqa: F403
from rushlight.tensor.functions.indexing import *  # noqa: F403
from rushlight.tensor.functions.joining import *  # noqa: F403
from rushlight.tensor.functions.complex_numbers import *  # noqa: F403
from rushlight.tensor.functions.composites import *  # noqa: F403
from rushlight.tensor.functions.norms import *  # noqa: F403
from rushlight.tensor.functions.ordering import *  # noqa: F403
from rushlight.tensor.functions.pointwise import *  # noqa: F403
from rushlight.tensor.functions.products import *  # noqa: F403
from rushlight.tensor.functions.reduction import *  # noqa: F403
from rushlight.tensor.functions.shape import *  # noqa: F403
from rushlight.tensor.functions.splitting import *  # noqa: F403
from rushlight.tensor.functions.turning import *  # noqa: F403

FAMILIES = (pointwise, composites, complex_numbers, shape, joining, splitting, turning, reduction, ordering, norms,
            indexing, diagonals, products, combined, distances, counting)
__all__ = [name for family in FAMILIES for name in family.__all__]  # the functions, not the files that hold them
