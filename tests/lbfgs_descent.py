"""What the optimizer database's LBFGS samples do; as a program the losses under PyTorch, as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def descent(lib: Any, tanh: Any, **options: Any) -> list[float]:
    """The losses of seven steps."""
    rng = np.random.default_rng(0)
    w, b = (lib.nn.Parameter(lib.tensor(rng.standard_normal(s).astype(np.float32))) for s in ((6, 4), 4))
    x = lib.tensor(rng.standard_normal((8, 6)).astype(np.float32))
    optimizer = lib.optim.LBFGS([w, b], **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (tanh(x @ w + b) - 0.5).pow(2).mean()
        loss.backward()
        return loss
    return [optimizer.step(closure).item() for _ in range(7)]


if __name__ == "__main__":
    import torch
    print(json.dumps(descent(torch, torch.tanh, lr=0.01)))
