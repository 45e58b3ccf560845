"""Learning from classes of very different size: weights, balanced sampling,
focal loss, synthetic samples, and a fair measure."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight.data import WeightedRandomSampler
from rushlight.nn.functional import cross_entropy

REDUCTIONS = {"none": lambda x: x, "mean": lambda x: x.mean(), "sum": lambda x: x.sum()}


def class_counts(labels: Any, classes: int | None = None) -> Any:
    """How many samples each class has: int64 (classes,) from labels (N,) of integers 0 … classes - 1.

    >>> class_counts([0, 0, 2], classes=4)
    tensor([2, 0, 1, 0])
    """
    labels = rl.as_tensor(labels).long().flatten()
    if labels.numel() == 0 or int(labels.min()) < 0:
        raise ValueError("class labels must be at least one integer, none below 0")
    if classes is not None and int(labels.max()) >= classes:
        raise ValueError(f"label {int(labels.max())} is beyond the last of {classes} classes")
    return rl.bincount(labels, minlength=classes or 0)


def class_weights(labels: Any, classes: int | None = None, beta: float | None = None) -> Any:
    """Weights for ``CrossEntropyLoss(weight=…)``: float32 (classes,),
    large for rare classes, 1 on average over the samples.

    Inverse frequency ``N / (K n_k)``; with ``beta`` (0.99 to 0.9999) proportional to ``(1 - beta) / (1 - beta^n_k)``,
    the inverse of the effective number of samples (arXiv 1901.05555), which is gentler. Classes without samples get 0.

    >>> class_weights([0, 0, 0, 1])
    tensor([0.6667, 2.0000])
    """
    counts = class_counts(labels, classes).double()
    if beta is not None and not 0 < beta < 1:
        raise ValueError(f"beta must be between 0 and 1, got {beta}")
    size = counts if beta is None else (1 - beta ** counts) / (1 - beta)
    inverse = rl.where(counts > 0, 1 / size.clamp(min=1e-12), rl.zeros_like(size))
    return (inverse * counts.sum() / (inverse * counts).sum()).float()


def balanced_sampler(labels: Any, num_samples: int | None = None, generator: Any = None) -> WeightedRandomSampler:
    """A sampler for ``DataLoader(sampler=…)`` that draws each class equally often,
    with replacement; an epoch is N draws.

    >>> drawn = list(balanced_sampler([0] * 90 + [1] * 10, num_samples=1000, generator=rl.Generator().manual_seed(0)))
    >>> 450 < sum(i >= 90 for i in drawn) < 550
    True
    """
    labels = rl.as_tensor(labels).long().flatten()
    weights = 1 / class_counts(labels).double().clamp(min=1)
    return WeightedRandomSampler(weights[labels], num_samples or len(labels), replacement=True, generator=generator)


def focal_loss(input: Any, target: Any, gamma: float = 2.0, weight: Any = None, reduction: str = "mean") -> Any:
    """``-w_t (1 - p_t)^gamma log p_t`` (arXiv 1708.02002) for scores (N, K,
    …) and labels (N, …): easy samples count little.

    ``gamma=0`` is the cross entropy. ``weight`` (K,) weighs classes; the mean is over samples, not over weights, as
    in the paper.

    >>> scores = rl.tensor([[2., 0.], [0., 2.]])
    >>> focal_loss(scores, rl.tensor([0, 1]), gamma=2.0), focal_loss(scores, rl.tensor([0, 1]), gamma=0.0)
    (tensor(0.0018), tensor(0.1269))
    """
    if gamma < 0:
        raise ValueError(f"focal_loss(): gamma must be at least 0, got {gamma}")
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    negative_log = cross_entropy(input, target, reduction="none")
    # 1 - p is taken as -expm1(log p), exact for sure answers; under gamma < 1 its slope would be infinite at 0
    missing = (-rl.expm1(-negative_log)).clamp(min=rl.finfo(negative_log.dtype).tiny)
    loss = missing ** gamma * negative_log
    return REDUCTIONS[reduction](loss if weight is None else loss * weight[target])


class FocalLoss(rl.nn.Module):
    """`focal_loss` as a module.

    >>> FocalLoss(gamma=0.0)(rl.tensor([[0., 0.]]), rl.tensor([1]))
    tensor(0.6931)
    """

    def __init__(self, gamma: float = 2.0, weight: Any = None, reduction: str = "mean"):
        super().__init__()
        self.gamma, self.reduction = gamma, reduction
        self.register_buffer("weight", weight)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of scores (N, K, …) and labels (N, …)."""
        return focal_loss(input, target, self.gamma, self.weight, self.reduction)

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, reduction={self.reduction!r}"


def recalls(predicted: Any, target: Any, classes: int | None = None) -> Any:
    """Of each class the share that was recognised: float64 (classes,), NaN for classes that ``target`` lacks.

    >>> recalls([0, 0, 0, 1], [0, 0, 1, 1])
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    predicted, target = rl.as_tensor(predicted).flatten(), rl.as_tensor(target).long().flatten()
    counts = class_counts(target, classes)
    return rl.bincount(target[predicted == target], minlength=len(counts)).double() / counts.double()


def balanced_accuracy(predicted: Any, target: Any) -> float:
    """The mean over classes of the share of each that was recognised:
    a guess at the largest class scores 1/K, not its share.

    >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
    0.5
    """
    return float(recalls(predicted, target).nanmean().item())


def resample(x: Any, y: Any, method: Any = "SMOTE", **options: Any) -> tuple[Any, Any]:
    """Samples (N, …) and labels (N,) made balanced by one of imbalanced-learn's methods; tensors of x's and y's dtypes.

    ``method`` is a name in ``imblearn.over_sampling``, ``under_sampling`` or ``combine`` ("SMOTE", "BorderlineSMOTE",
    "ADASYN", "RandomOverSampler", "RandomUnderSampler", "SMOTETomek", …), to which ``options`` go, or such an object.
    SMOTE puts a new sample between one of a rare class and one of its neighbours (Chawla and others, 2002).
    ValueError for an unknown name.

    >>> x, y = resample(rl.arange(20.).view(10, 2), [0] * 7 + [1] * 3, k_neighbors=2, random_state=0)
    >>> x.shape, class_counts(y)
    (torch.Size([14, 2]), tensor([7, 7]))
    """
    x, y = rl.as_tensor(x), rl.as_tensor(y)
    sampler = _imbalanced_learn(method, options) if isinstance(method, str) else method
    more, labels = sampler.fit_resample(x.reshape(len(x), -1).numpy(), y.numpy())
    return rl.from_numpy(more).to(x.dtype).reshape(-1, *x.shape[1:]), rl.from_numpy(labels).to(y.dtype)


def _imbalanced_learn(name: str, options: dict[str, Any]) -> Any:
    try:
        from imblearn import combine, over_sampling, under_sampling
    except ImportError as e:
        raise ImportError("resample() needs imbalanced-learn: pip install 'rushlight[imbalance]'") from e
    for module in (over_sampling, under_sampling, combine):
        if name in module.__all__:
            return getattr(module, name)(**options)
    known = sorted({*over_sampling.__all__, *under_sampling.__all__, *combine.__all__})
    raise ValueError(f"resample(): imbalanced-learn has no method {name!r}; it has {', '.join(known)}")
