"""TVTensor: a tensor with a kind. Operations give plain tensors; clone, to, detach and requires_grad_ keep the kind."""

from __future__ import annotations

from typing import Any

from rushlight.tensor.core import Tensor, new_tensor
from rushlight.tensor.creation import as_tensor


def alias(cls: type, tensor: Tensor) -> Any:
    """The same tensor, history and memory, as an object of another class."""
    made: Any = new_tensor(tensor._storage, tensor._spec)
    made.__dict__.update(tensor.__dict__)
    made.__class__ = cls
    return made


class TVTensor(Tensor):
    """Base of tensors that know what they show. What else they know is listed in ``_facts``."""

    _facts: tuple[str, ...] = ()
    _shows_facts = True

    @classmethod
    def _made(cls, data: Any, dtype: Any, device: Any, requires_grad: bool | None) -> Tensor:
        """The plain tensor of any data."""
        tensor: Any = as_tensor(plain(data) if isinstance(data, Tensor) else data, dtype=dtype, device=device)
        wanted = (requires_grad if requires_grad is not None else
                  (data.requires_grad if isinstance(data, Tensor) else False))
        if tensor.requires_grad != wanted:
            tensor = tensor.detach().requires_grad_(wanted)
        return tensor  # type: ignore[no-any-return]

    @classmethod
    def wrap(cls, tensor: Tensor, like: Any, **facts: Any) -> Any:
        """A plain tensor as this kind, with the facts of another of it except those given."""
        made = alias(cls, plain(tensor))
        for name in cls._facts:
            setattr(made, name, facts.get(name, getattr(like, name)))
        return made

    def as_subclass(self, cls: type) -> Any:
        """The same tensor as another class; as Tensor it is plain."""
        return plain(self) if cls is Tensor else alias(cls, self)

    def clone(self, *, memory_format: Any = None) -> Any:
        """A copy of the same kind."""
        return self.wrap(plain(self).clone() if memory_format is None
                         else plain(self).clone(memory_format=memory_format), self)

    def detach(self) -> Any:
        """The same memory without history, of the same kind."""
        return self.wrap(plain(self).detach(), self)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Another number type or device, of the same kind."""
        return self.wrap(plain(self).to(*args, **kwargs), self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        return made

    def __repr__(self) -> str:
        text = repr(plain(self)).removeprefix("tensor(")
        pad = " " * (len(type(self).__name__) - len("tensor"))
        text = text.replace("\n", "\n" + pad) if pad else text
        facts = ", ".join(f"{name}={getattr(self, name)}" for name in self._facts)
        return f"{type(self).__name__}({text[:-1]}{f', {facts}' if self._shows_facts else ''})"

    __str__ = __repr__


def plain(tensor: Any) -> Tensor:
    """The same tensor without its kind."""
    if type(tensor) is Tensor or not isinstance(tensor, TVTensor):
        return tensor
    made = alias(Tensor, tensor)
    for name in tensor._facts:
        made.__dict__.pop(name, None)
    return made  # type: ignore[no-any-return]


def wrap(wrappee: Tensor, *, like: Any, **kwargs: Any) -> Any:
    """A tensor as the kind of ``like``, with its facts except those given; unchanged where ``like`` is plain."""
    return type(like).wrap(wrappee, like, **kwargs) if isinstance(like, TVTensor) else wrappee


class set_return_type:
    """What operations on these tensors give: "Tensor" only.
    "TVTensor" is not provided: use ``wrap(result, like=input)``."""

    def __init__(self, return_type: str):
        kind = return_type.lower()
        if kind not in ("tensor", "tvtensor"):
            raise ValueError(f"return_type must be 'TVTensor' or 'Tensor', got {return_type}")
        if kind == "tvtensor":
            raise NotImplementedError("set_return_type('TVTensor') is not provided: "
                                      "use tv_tensors.wrap(result, like=input)")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass
