"""A table of a module's parts: names, types, numbers of parameters, sizes of inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rushlight.tensor.core import Tensor

UNKNOWN_SIZE = "?"
UNITS = ("", "K", "M", "B", "T")


def get_human_readable_count(number: int) -> str:
    """A number with at most three digits before its unit.

    >>> get_human_readable_count(123), get_human_readable_count(1234), get_human_readable_count(5_000_000)
    ('123  ', '1.2 K', '5.0 M')
    """
    if number < 0:
        raise ValueError("the number must be at least 0")
    scaled, unit = float(number), 0
    while scaled >= 1000 and unit < len(UNITS) - 1:
        scaled, unit = scaled / 1000, unit + 1
    return f"{int(number):,d}  " if unit == 0 else f"{scaled:,.{0 if scaled >= 100 else 1}f} {UNITS[unit]}"


class LayerSummary:
    """One row: a module, and the sizes that passed through it if `watch` was on."""

    def __init__(self, module: Any):
        self._module = module
        self.in_size: Any = None
        self.out_size: Any = None
        self.handle = None

    def watch(self) -> None:
        """Note the sizes of the next call."""
        def note(module: Any, args: Any, out: Any) -> None:
            self.in_size, self.out_size = parse_batch_shape(args[0] if len(args) == 1 else args), parse_batch_shape(out)
            self.handle.remove()  # type: ignore[attr-defined]
        self.handle = self._module.register_forward_hook(note)

    @property
    def layer_type(self) -> str:
        """The name of the class."""
        return str(self._module.__class__.__name__)

    @property
    def num_parameters(self) -> int:
        """How many numbers the module's parameters hold."""
        return sum(p.numel() for p in self._module.parameters() if not _is_lazy(p))

    @property
    def training(self) -> bool:
        """Whether the module is in training mode."""
        return bool(self._module.training)


def _is_lazy(p: Any) -> bool:
    return type(p).__name__.startswith("Uninitialized")


def parse_batch_shape(batch: Any) -> Any:
    """The sizes within a batch."""
    if isinstance(batch, Tensor):
        return list(batch.shape)
    if isinstance(batch, (list, tuple)):
        return [parse_batch_shape(x) for x in batch]
    return UNKNOWN_SIZE


class ModelSummary:
    """The table of a LightningModule's parts down to `max_depth` levels (-1 for all, 0 for the totals alone).

    With ``example_input_array`` the module runs once, and sizes of inputs and outputs are shown.

    >>> import rushlight as rl
    >>> from rushlight.lightning import LightningModule
    >>> class Net(LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = rl.nn.Linear(4, 2)
    >>> ModelSummary(Net()).total_parameters
    10
    """

    def __init__(self, model: Any, max_depth: int = 1):
        if not isinstance(max_depth, int) or max_depth < -1:
            raise ValueError(f"`max_depth` can be -1, 0 or > 0, got {max_depth}.")
        self._model, self._max_depth = model, max_depth
        self._rows = {name: LayerSummary(module) for name, module in self.named_modules}
        if getattr(model, "example_input_array", None) is not None:
            self._run_example()

    @property
    def named_modules(self) -> list[tuple[str, Any]]:
        """The modules with rows, by name."""
        if self._max_depth == 0:
            return []
        deep = ((name, m) for name, m in self._model.named_modules() if name)
        return [(n, m) for n, m in deep if self._max_depth == -1 or n.count(".") < self._max_depth]

    def _run_example(self) -> None:
        from rushlight.autograd.grad_mode import no_grad
        for row in self._rows.values():
            row.watch()
        model, example = self._model, self._model.example_input_array
        training = {m: m.training for m in model.modules()}
        model.eval()
        with no_grad():
            if isinstance(example, (list, tuple)):
                model(*example)
            elif isinstance(example, dict):
                model(**example)
            else:
                model(example)
        for module, mode in training.items():
            module.training = mode

    @property
    def layer_names(self) -> list[str]:
        """The names."""
        return list(self._rows)

    @property
    def layer_types(self) -> list[str]:
        """The names of the classes."""
        return [row.layer_type for row in self._rows.values()]

    @property
    def in_sizes(self) -> list[Any]:
        """Sizes of the inputs, "?" where unknown."""
        return [row.in_size or UNKNOWN_SIZE for row in self._rows.values()]

    @property
    def out_sizes(self) -> list[Any]:
        """Sizes of the outputs, "?" where unknown."""
        return [row.out_size or UNKNOWN_SIZE for row in self._rows.values()]

    @property
    def param_nums(self) -> list[int]:
        """Numbers of parameters."""
        return [row.num_parameters for row in self._rows.values()]

    @property
    def training_modes(self) -> list[bool]:
        """Whether each is in training mode."""
        return [row.training for row in self._rows.values()]

    def _parameters(self) -> Iterator[Any]:
        return (p for p in self._model.parameters() if not _is_lazy(p))

    @property
    def total_parameters(self) -> int:
        """How many numbers all parameters hold."""
        return sum(p.numel() for p in self._parameters())

    @property
    def trainable_parameters(self) -> int:
        """How many of them are trained."""
        return sum(p.numel() for p in self._parameters() if p.requires_grad)

    @property
    def model_size(self) -> float:
        """Megabytes of the parameters."""
        return float(sum(p.numel() * p.element_size() for p in self._parameters())) / 1e6

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Titles and rows."""
        titles = ["", "Name", "Type", "Params", "Mode"]
        own = sum(p.numel() for p in self._model._parameters.values() if p is not None and not _is_lazy(p))
        rows = [[str(i), name, row.layer_type, get_human_readable_count(row.num_parameters),
                 "train" if row.training else "eval"]
                for i, (name, row) in enumerate(self._rows.items())]
        if self._rows and getattr(self._model, "example_input_array", None) is not None:
            titles += ["In sizes", "Out sizes"]
            rows = [[*r, str(a), str(b)] for r, a, b in zip(rows, self.in_sizes, self.out_sizes)]
        if own and self._max_depth:
            rows.append(["", "other params", "n/a", get_human_readable_count(own), "n/a", *["n/a"] * (len(titles) - 5)])
        return titles, rows

    def totals(self) -> list[tuple[str, str]]:
        """What stands below the table."""
        trained = self.trainable_parameters
        return [(get_human_readable_count(trained), "Trainable params"),
                (get_human_readable_count(self.total_parameters - trained), "Non-trainable params"),
                (get_human_readable_count(self.total_parameters), "Total params"),
                (f"{self.model_size:,.3f}", "Total estimated model params size (MB)")]

    def __str__(self) -> str:
        titles, rows = self.table()
        lines = []
        if rows:
            widths = [max(len(r[i]) for r in [titles, *rows]) for i in range(len(titles))]

            def line(cells: list[str]) -> str:
                return " | ".join(f"{c:<{w}}" for c, w in zip(cells, widths))
            rule = "-" * len(line(titles))
            lines += ["", line(titles), rule, *(line(r) for r in rows), rule]
        return "\n".join([*lines, *(f"{a:<10s}{b}" for a, b in self.totals())])

    __repr__ = __str__


def summarize(lightning_module: Any, max_depth: int = 1) -> ModelSummary:
    """The table of a module."""
    return ModelSummary(lightning_module, max_depth=max_depth)
