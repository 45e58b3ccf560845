"""A small program for pytorch_lightning and rushlight alike."""

from __future__ import annotations

from typing import Any


def data(torch: Any, n: int = 24, batch: int = 4, shuffle: bool = False) -> Any:
    """A loader of a small regression."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 3, generator=generator)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)),
                                       batch_size=batch, shuffle=shuffle)


def line(torch: Any, pl: Any, **methods: Any) -> Any:
    """A linear model; `methods` take the places of its methods."""
    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.layer = torch.nn.Linear(3, 1)
            self.seen: list[Any] = []

        def loss(self, batch: Any) -> Any:
            return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("val", self.loss(batch))

        def test_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("test", self.loss(batch))

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    for name, method in methods.items():
        setattr(Line, name, method)
    return Line()


def quiet(pl: Any, folder: str, **arguments: Any) -> Any:
    """A trainer that shows and writes nothing."""
    defaults = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
                "enable_model_summary": False, "default_root_dir": folder, "accelerator": "cpu", "max_epochs": 2}
    return pl.Trainer(**{**defaults, **arguments})


def numbers(values: Any) -> Any:
    """Tensors as numbers, in order of names."""
    if isinstance(values, dict):
        return {k: numbers(values[k]) for k in sorted(values)}
    if isinstance(values, (list, tuple)):
        return [numbers(v) for v in values]
    return values.tolist() if hasattr(values, "tolist") else values


def weights(model: Any) -> Any:
    return numbers([p.detach().flatten() for p in model.parameters()])
