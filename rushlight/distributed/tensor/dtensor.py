"""DTensor: a tensor whose values are spread over the processes of a mesh."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from rushlight.distributed import exchange
from rushlight.distributed.device_mesh import DeviceMesh, current_mesh
from rushlight.distributed.tensor.layout import local_box, whole_shape
from rushlight.distributed.tensor.move import LINEAR, SumGradient, redistribute
from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard, normal
from rushlight.tensor import protocol
from rushlight.tensor.core import Tensor

UNREACHABLE = (
    "an operation was about to work on a DTensor's piece as if it were the whole tensor. Either it has no rule for "
    "DTensors: then call it on "
    "x.full_tensor() (the whole) or x.to_local() (this rank's piece); or a function of torch was imported by its own "
    "name (from torch.nn.functional import …) "
    "before the first import of torch.distributed.tensor: then import that first, or call it as F.…. "
    "torch.distributed.checkpoint saves DTensors"
)
AS_LOCAL = (
    "dtype",
    "device",
    "layout",
    "itemsize",
    "is_cuda",
    "is_cpu",
    "is_mps",
    "is_xla",
    "is_xpu",
    "is_meta",
    "is_sparse",
    "is_sparse_csr",
    "is_quantized",
    "is_nested",
    "is_mkldnn",
    "is_leaf",
    "grad_fn",
    "names",
    "_version",
)


class DTensor(Tensor):
    """This process's piece of a tensor, with the mesh and placements that say which piece it is; its operations are
    those of the whole tensor.

    Made by `distribute_tensor`, `DTensor.from_local` and the functions of this package. Autograd runs
    on the pieces: the gradient of a piece is placed as the piece (of a Partial term: as Replicate),
    so ``grad`` of a DTensor is a DTensor placed like it.
    """

    _local_tensor: Any
    _mesh: DeviceMesh
    _placements: tuple[Placement, ...]
    _shape: Any

    def __new__(
        cls, local_tensor: Any, device_mesh: Any = None, placements: Any = None, *, shape: Any = None, **unknown: Any
    ) -> Any:
        if not isinstance(local_tensor, Tensor) or unknown or device_mesh is None:
            raise TypeError(
                "DTensor is not made directly: use DTensor.from_local(local_tensor, "
                "device_mesh, placements) or distribute_tensor"
            )
        return make(local_tensor, device_mesh, tuple(placements), tuple(shape))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    # --- what it is -----------------------------------------------------------------------------------------------
    @property
    def _spec(self) -> Any:  # type: ignore[override]
        """What every operation of the library asks a plain tensor for first."""
        raise RuntimeError(UNREACHABLE)

    _storage = _vc = _spec

    @property
    def device_mesh(self) -> DeviceMesh:
        """The mesh it is spread over."""
        return self._mesh

    @property
    def placements(self) -> tuple[Placement, ...]:
        """What each dimension of the mesh does with it."""
        return self._placements

    @property
    def shape(self) -> Any:
        """The shape of the whole."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Its number of dimensions."""
        return len(self._shape)

    @property
    def requires_grad(self) -> bool:
        return bool(self._local_tensor.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._local_tensor.requires_grad = value

    @property
    def grad(self) -> Any:
        """The gradient, placed like the tensor (Replicate for Partial)."""
        g = self._local_tensor.grad
        if g is None:
            return None
        known = self.__dict__.get("_grad_view")
        if known is None or known._local_tensor is not g:
            known = self.__dict__["_grad_view"] = make(
                g, self._mesh, gradient_placements(self._placements), self._shape
            )
        return known

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self._local_tensor.grad = None
            self.__dict__.pop("_grad_view", None)
            return
        if not isinstance(value, DTensor):
            raise TypeError(
                "assigned grad has type torch.Tensor, but the tensor is a DTensor: assign a DTensor, as "
                "distribute_tensor makes it"
            )
        if value.shape != self.shape:
            raise RuntimeError(
                f"assigned grad has data of a different size: {tuple(value.shape)} for a tensor of {tuple(self.shape)}"
            )
        self._local_tensor.grad = value.redistribute(
            self._mesh, gradient_placements(self._placements)
        )._local_tensor.detach()

    @property
    def data(self) -> Any:
        """The same values without history."""
        return make(self._local_tensor.data, self._mesh, self._placements, self._shape)

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, DTensor):
            raise TypeError("the data of a DTensor must be a DTensor")
        self._local_tensor.data = value._local_tensor.data
        self._mesh, self._placements, self._shape = value._mesh, value._placements, value._shape

    @property
    def retains_grad(self) -> bool:  # type: ignore[override]
        return bool(self._local_tensor.retains_grad)

    @property
    def nbytes(self) -> int:
        """The size of the whole in bytes."""
        return int(self.numel() * self.dtype.itemsize)

    @property
    def T(self) -> Any:
        """The dimensions in the opposite order."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Any:
        """The last two dimensions exchanged."""
        return self.transpose(-2, -1)

    # --- from and to local tensors --------------------------------------------------------------------------------
    @staticmethod
    def from_local(
        local_tensor: Any,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        *,
        run_check: bool = False,
        shape: Any = None,
        stride: Any = None,
        grad_placements: Sequence[Placement] | None = None,
    ) -> DTensor:
        """The DTensor whose pieces are the ranks' local tensors; no values move (``run_check`` makes replicas equal to
        the first rank's).

        Pieces of unequal size need the ``shape`` of the whole. Gradients reach local_tensor, placed as
        ``grad_placements`` if given.
        """
        mesh = device_mesh or current_mesh()
        if not isinstance(local_tensor, Tensor) or isinstance(local_tensor, DTensor):
            raise RuntimeError(f"DTensor.from_local needs a local torch.Tensor, got {type(local_tensor).__name__}")
        chosen = normal(placements, mesh, local_tensor.ndim)
        if (shape is None) != (stride is None):
            raise RuntimeError(
                f"Found shape:{shape}, stride:{stride}.", "Please pass both shape and stride at the same time."
            )
        t: Any = local_tensor.view(local_tensor.shape) if not local_tensor.requires_grad else local_tensor
        whole = whole_shape(tuple(t.shape), mesh, chosen) if shape is None else tuple(shape)
        if run_check and shape is None:
            for d, p in enumerate(chosen):
                if isinstance(p, Replicate):
                    with without_grad():
                        t.copy_(exchange.from_member(t, mesh.get_group(d)))
                elif isinstance(p, Shard):
                    sizes = exchange.gather_arrays(sizes_of(t), mesh.get_group(d))
                    if any((s != sizes[0]).any() for s in sizes):
                        raise RuntimeError(
                            f"the ranks' local tensors have different shapes {[s.tolist() for s in sizes]}: give the "
                            "shape and stride of the whole"
                        )
        if grad_placements is not None:
            t = placed_gradient(t, mesh, gradient_placements(chosen), normal(grad_placements, mesh, t.ndim))
        return make(t, mesh, chosen, whole)

    def to_local(self, *, grad_placements: Sequence[Placement] | None = None) -> Any:
        """This rank's piece. Its gradient is taken as placed like the tensor, or by ``grad_placements`` (Partial: the
        ranks' gradients are summed)."""
        t = self._local_tensor
        if not t.requires_grad or not grad_enabled():
            return t.detach() if t.requires_grad else t
        if grad_placements is not None:
            return placed_gradient(
                t, self._mesh, normal(grad_placements, self._mesh, self.ndim), gradient_placements(self._placements)
            )
        return t.view(t.shape) if t.is_leaf else t

    def full_tensor(self, *, grad_placements: Sequence[Placement] | None = None) -> Any:
        """The whole tensor on every rank."""
        whole = self.redistribute(placements=[Replicate()] * self._mesh.ndim)
        return whole.to_local(grad_placements=grad_placements)

    def redistribute(
        self,
        device_mesh: DeviceMesh | None = None,
        placements: Sequence[Placement] | None = None,
        *,
        async_op: bool = False,
        forward_dtype: Any = None,
        backward_dtype: Any = None,
    ) -> DTensor:
        """The same tensor with other placements; gradients go back the other way. ``async_op`` changes nothing: it is
        finished on return.

        ``forward_dtype`` converts before values move. RuntimeError for Partial as a goal,
        NotImplementedError for another mesh.
        """
        mesh = device_mesh or self._mesh
        if placements is None:
            raise RuntimeError("placements is needed for redistribute!")
        goal = normal(placements, mesh, self.ndim)
        if mesh != self._mesh:
            raise NotImplementedError("Cross device mesh comm not supported yet!")
        for old, new in zip(self._placements, goal):
            if isinstance(new, Partial) and old != new:
                raise RuntimeError(
                    f"Can not redistribute from {old} to {new}, redistributing to Partial is for internal use only!"
                )
        if backward_dtype is not None:
            raise NotImplementedError(
                "DTensor.redistribute(backward_dtype=…) is not there: gradients move in the tensor's own dtype"
            )
        t = self._local_tensor if forward_dtype is None else self._local_tensor.to(forward_dtype)
        return make(redistribute(t, mesh, self._placements, goal), mesh, goal, self._shape)

    def placed(self, goal: tuple[Placement, ...]) -> Any:
        """The local tensor with these placements, Partial included."""
        return redistribute(self._local_tensor, self._mesh, self._placements, goal)

    # --- what every tensor can do ---------------------------------------------------------------------------------
    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from rushlight.distributed.tensor.dispatch import dispatch

        return dispatch(func, args, kwargs or {})

    def register_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call hook(grad) with the gradient as a DTensor; what it returns takes its place."""
        mesh, placed, shape = self._mesh, gradient_placements(self._placements), self._shape

        def local(g: Any) -> Any:
            out = hook(make(g, mesh, placed, shape))
            return out.placed(placed) if isinstance(out, DTensor) else out

        return self._local_tensor.register_hook(local)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call hook(self) when the gradient of this leaf has arrived."""
        ref = weakref.ref(self)

        def local(_: Any) -> None:
            me = ref()
            if me is not None:
                hook(me)

        return self._local_tensor.register_post_accumulate_grad_hook(local)

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is no leaf."""
        self._local_tensor.retain_grad()

    def requires_grad_(self, requires_grad: bool = True) -> DTensor:
        """Ask for gradients."""
        self._local_tensor.requires_grad_(requires_grad)
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return (
            f"DTensor(local_tensor={self._local_tensor!r}, device_mesh={self._mesh!r}, placements={self._placements!r})"
        )

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self) if not spec else format(self.full_tensor().item(), spec)

    def __hash__(self) -> int:
        return id(self)

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of a 0-d tensor")
        return int(self._shape[0])

    def __deepcopy__(self, memo: dict[int, Any]) -> DTensor:
        if id(self) not in memo:
            if not self.is_leaf:
                raise RuntimeError(
                    "Only Tensors created explicitly by the user (graph "
                    "leaves) support the deepcopy protocol at the moment."
                )
            with without_grad():
                local = self._local_tensor.detach().clone().requires_grad_(self.requires_grad)
            memo[id(self)] = out = make(local, self._mesh, self._placements, self._shape)
            out.__dict__.update(
                {k: v for k, v in self.__dict__.items() if k in ("_is_param", "_is_buffer", "persistent")}
            )
        return memo[id(self)]  # type: ignore[no-any-return]

    def __reduce_ex__(self, protocol: Any) -> Any:
        from rushlight.distributed.tensor.saving import reduced

        return reduced(self)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "a DTensor is no array: its values are spread over several processes; use x.full_tensor() or x.to_local()"
        )

    # --- saving by distributed.checkpoint -------------------------------------------------------------------------
    def __create_chunk_list__(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """(offset, shape) of the boxes that this rank holds."""
        shape, offset = local_box(tuple(self._shape), self._mesh, self._placements)
        return [(offset, shape)]


def _as_local(name: str) -> property:
    return property(
        lambda self: getattr(self._local_tensor, name),
        doc=f"``{name}`` of this rank's piece, which is that of the whole.",
    )


for _name in AS_LOCAL:
    if hasattr(Tensor, _name):
        setattr(DTensor, _name, _as_local(_name))


def make(local: Any, mesh: DeviceMesh, placements: tuple[Placement, ...], shape: Any) -> DTensor:
    """A DTensor on a local tensor."""
    from rushlight.tensor.functions.shape import Size

    out: DTensor = object.__new__(DTensor)
    out._local_tensor, out._mesh, out._placements, out._shape = local, mesh, placements, Size(shape)
    return out


def gradient_placements(placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
    """How the gradient of such a tensor is placed."""
    return tuple(Replicate() if isinstance(p, Partial) else p for p in placements)


def placed_gradient(t: Any, mesh: DeviceMesh, arrives: tuple[Placement, ...], wanted: tuple[Placement, ...]) -> Any:
    """t, whose gradient arrives with some placements and goes on with others."""
    if arrives == wanted:
        return t
    for d, (a, w) in enumerate(zip(arrives, wanted)):
        if a == w:
            continue
        if isinstance(a, Partial) and isinstance(w, Replicate) and a.reduce_op in LINEAR:
            t = SumGradient.apply(t, mesh.get_group(d))
            continue
        raise NotImplementedError(
            f"a gradient placed as {a!r} cannot go on as {w!r}: "
            "grad_placements may name Partial() where the tensor is Replicate()"
        )
    return t


def without_grad() -> Any:
    """rushlight.no_grad()."""
    from rushlight.autograd.grad_mode import no_grad

    return no_grad()


def grad_enabled() -> bool:
    """Whether autograd records."""
    from rushlight.tensor.state import state

    return state.grad


def sizes_of(t: Any) -> Any:
    """A shape as an array."""
    import numpy as np

    return np.array(tuple(t.shape), np.int64)


protocol.switch_on()
