"""Knowledge distillation: a small network learns from the answers of a large one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.nn import functional as F


def distillation_loss(student_logits: Any, teacher_logits: Any, target: Any = None, *, temperature: float = 4.0,
                      alpha: float = 0.9) -> Any:
    """alpha · T² · KL(softmax(teacher / T) ‖ softmax(student / T)) + (1 - alpha) · cross entropy with the target.

    Logits (N, classes), target (N) or None for the first part alone; the mean over samples. T² keeps gradients of one
    size at any temperature (Hinton, Vinyals, Dean, arXiv 1503.02531). ValueError for a temperature that is not
    positive, an alpha outside [0, 1] and logits of different shapes.

    >>> x = rl.tensor([[2.0, 0.0]])
    >>> distillation_loss(x, x).item()
    0.0
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a weight in [0, 1], got {alpha}")
    if tuple(student_logits.shape) != tuple(teacher_logits.shape):
        raise ValueError("the logits of student and teacher must have one shape, "
                         f"got {list(student_logits.shape)} and {list(teacher_logits.shape)}")
    student, teacher = (F.log_softmax(t / temperature, -1) for t in (student_logits, teacher_logits.detach()))
    soft = F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature ** 2
    if target is None:
        return soft
    return alpha * soft + (1 - alpha) * F.cross_entropy(student_logits, target)


class FeatureMatching(nn.Module):
    """The distance of what two networks hold between their layers (FitNets, Romero et al., arXiv 1412.6550).

    ``pairs`` maps names of the student's modules to names of the teacher's. After both have run on the same input,
    calling this gives the mean over pairs of the mean square difference of their outputs; where the numbers of channels
    differ, a 1 × 1 convolution (a linear layer for 2-d features) translates the student's, and images of another size
    are resized. Its parameters, made at the first call, train with the student's: `list(student.parameters()) +
    list(matching.parameters())` after one forward pass.

    >>> a, b = nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.Sequential(nn.Linear(2, 5), nn.ReLU())
    >>> matching = FeatureMatching(a, b, {"1": "1"})
    >>> x = rl.ones(4, 2)
    >>> _ = a(x), b(x)
    >>> matching().shape
    torch.Size([])
    """

    def __init__(self, student: Any, teacher: Any, pairs: dict[str, str]):
        super().__init__()
        self.pairs = dict(pairs)
        self.translate = nn.ModuleDict()
        self._seen: dict[tuple[str, str], Any] = {}
        self._handles = [*self._watch("student", student, self.pairs),
                         *self._watch("teacher", teacher, self.pairs.values())]

    def _watch(self, who: str, network: Any, names: Iterable[str]) -> list[Any]:
        modules = dict(network.named_modules())
        handles = []
        for name in names:
            if name not in modules:
                raise ValueError(f"the {who} has no module {name!r}; it has {', '.join(n for n in modules if n)}")
            handles.append(modules[name].register_forward_hook(self._keep(who, name)))
        return handles

    def _keep(self, who: str, name: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            self._seen[who, name] = output if who == "student" else output.detach()
        return hook

    def forward(self) -> Any:
        total: Any = 0.0
        for mine, theirs in self.pairs.items():
            if ("student", mine) not in self._seen or ("teacher", theirs) not in self._seen:
                raise RuntimeError("run the student and the teacher on an input first: "
                                   "features are kept by their forward passes")
            a, b = self._seen["student", mine], self._seen["teacher", theirs]
            a = self._translated(mine, a, b)
            if a.dim() == 4 and a.shape[2:] != b.shape[2:]:
                a = F.interpolate(a, size=tuple(b.shape[2:]), mode="bilinear", align_corners=False)
            total = total + F.mse_loss(a, b)
        return total / len(self.pairs)

    def _translated(self, name: str, a: Any, b: Any) -> Any:
        if a.shape[1] == b.shape[1]:
            return a
        key = name.replace(".", "_")
        if key not in self.translate:
            n, m = a.shape[1], b.shape[1]
            self.translate[key] = nn.Conv2d(n, m, 1, bias=False) if a.dim() == 4 else nn.Linear(n, m, bias=False)
        return self.translate[key](a)

    def close(self) -> None:
        """Stop watching the networks."""
        for handle in self._handles:
            handle.remove()
        self._seen.clear()


def distill(student: Any, teacher: Any, loader: Any, optimizer: Any, *, epochs: int = 1, temperature: float = 4.0,
            alpha: float = 0.9, matching: FeatureMatching | None = None, weight: float = 1.0,
            report: Callable[[int, float], None] | None = None) -> list[float]:
    """Train a student by `distillation_loss` on batches (inputs, targets); the mean loss of each epoch.

    The teacher runs in eval mode without gradients. ``matching`` adds ``weight`` times the distance of features.
    ``report(epoch, loss)`` is called after each epoch.
    """
    teacher.eval()
    losses = []
    for epoch in range(epochs):
        student.train()
        total, count = 0.0, 0
        for x, target in loader:
            with rl.no_grad():
                wanted = teacher(x)
            optimizer.zero_grad()
            loss = distillation_loss(student(x), wanted, target, temperature=temperature, alpha=alpha)
            if matching is not None:
                loss = loss + weight * matching()
            loss.backward()
            optimizer.step()
            total, count = total + loss.detach() * len(x), count + len(x)
        losses.append(float(total / count))
        if report is not None:
            report(epoch, losses[-1])
    return losses
