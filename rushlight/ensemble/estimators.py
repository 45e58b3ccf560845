"""Networks as scikit-learn estimators: they work in its pipelines, grid searches and ensembles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import rushlight as rl
from rushlight.ensemble.committee import Committee
from rushlight.ensemble.fitting import Criterion, Data, answers, fit, make_optimizer
from rushlight.ensemble.networks import Network, fresh_network
from rushlight.nn.functional import cross_entropy, mse_loss
from rushlight.random import fork_rng

FLOATS = [np.float32, np.float64]  # what inputs may be; others become float32. Networks compute in float32
SEEDS = np.iinfo(np.int32).max
# that are predicted at a time, always as many: products of other sizes may add up in other orders, and what is
ROWS = 128
# predicted for a sample must not depend on its neighbours, to the last bit

PARAMETERS = """
    module: the network: None for a multilayer perceptron with layers of the sizes ``hidden`` and ReLU; a function of
    (inputs,
        outputs); or a module, which is copied and its layers drawn anew (``keep_weights=True``: trained on from its
        weights).
    input_shape: the shape of one input to the network, where it is not the flat row that scikit-learn hands on.
    criterion: ``f(output, target, reduction="none")``, the loss of each sample. optimizer: "adam", "adamw", "sgd",
    "rmsprop", or a class that takes (parameters, lr=, weight_decay=). lr, weight_decay, batch_size, epochs: as usual.
    members: how many networks are trained at once, each from weights of its own; their answers are averaged.
    early_stopping, validation_fraction, patience: with early stopping, that share of the samples is kept back;
    training ends when
        their loss has not fallen for ``patience`` epochs, and the weights of the best epoch are used.
    random_state: an int makes initial weights, batches and dropout repeat; rushlight's own generator is left as it
    is. verbose: print the losses of each epoch.

    After ``fit``: module_ (a `Committee`), n_features_in_, n_iter_ (epochs run), best_epoch_, loss_curve_,
    validation_curve_.
"""


@dataclass(eq=False, repr=False)
class _Neural(BaseEstimator):
    """Parameters as scikit-learn reads them from the constructor, and what both tasks share."""

    module: Network = None
    _: KW_ONLY
    hidden: Sequence[int] = (100,)
    input_shape: tuple[int, ...] | None = None
    keep_weights: bool = False
    criterion: Criterion | None = None
    optimizer: Any = "adam"
    lr: float = 5e-3
    weight_decay: float = 0.0
    batch_size: int = 128
    epochs: int = 100
    members: int = 1
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 10
    random_state: Any = None
    verbose: bool = False

    def _train(self, x: np.ndarray, y: np.ndarray, sample_weight: Any, outputs: int, labels: np.ndarray | None,
               combine: str) -> None:
        """Fit to targets y, as the criterion takes them; ``labels``, if any,
        are what the validation split is balanced by."""
        for name in ("epochs", "batch_size", "members", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        weight = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        used = weight > 0  # samples of weight 0 are no samples: they shall not change the batches either
        if not used.any():
            raise ValueError("all sample weights are 0: there is nothing to learn from")
        x, y, weight = x[used], y[used], (weight[used] / weight[used].mean()).astype(np.float32)
        draw = check_random_state(self.random_state)
        train, check = self._split(len(x), None if labels is None else labels[used], draw)

        def data(rows: np.ndarray) -> Data:
            return Data(self._inputs(x[rows]), rl.from_numpy(y[rows]), rl.from_numpy(weight[rows]))
        with fork_rng():
            rl.manual_seed(int(draw.randint(SEEDS)))
            self.module_ = Committee([fresh_network(self.module, x.shape[1], outputs, self.hidden, self.keep_weights)
                                      for _ in range(self.members)], combine=None)
            stepper = make_optimizer(self.optimizer, self.module_, self.lr, self.weight_decay)
            history = fit(self.module_, data(train), None if check is None else data(check),
                          self.criterion or self._criterion, stepper, batch_size=self.batch_size, epochs=self.epochs,
                          patience=self.patience if self.early_stopping else None,
                          order=np.random.default_rng(draw.randint(SEEDS)), note=self._note)
        self.module_.combine = combine
        self.module_.eval()
        self.loss_curve_, self.validation_curve_, self.best_epoch_ = history
        self.n_iter_ = len(self.loss_curve_)

    def _split(self, n: int, stratify: np.ndarray | None, draw: Any) -> tuple[Any, Any]:
        rows = np.arange(n)
        if not self.early_stopping:
            return rows, None
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction}")
        kept_back = max(1, round(self.validation_fraction * n))
        if stratify is not None:
            counts = np.unique(stratify, return_counts=True)[1]
            if counts.min() < 2 or min(kept_back, n - kept_back) < len(counts):
                stratify = None  # too few for each class to be in both parts
        train, check = train_test_split(rows, test_size=kept_back, random_state=draw, stratify=stratify)
        return train, check

    def _inputs(self, x: np.ndarray) -> Any:
        x = np.ascontiguousarray(x, dtype=np.float32)
        if self.input_shape is not None:
            if math.prod(self.input_shape) != x.shape[1]:
                raise ValueError(f"input_shape={tuple(self.input_shape)} holds {math.prod(self.input_shape)} numbers, "
                                 f"but X has {x.shape[1]} features")
            x = x.reshape(len(x), *self.input_shape)
        return rl.from_numpy(x)

    def _answers(self, x: Any) -> np.ndarray:
        check_is_fitted(self, "module_")
        x = validate_data(self, x, reset=False, dtype=FLOATS)
        parts = []
        for first in range(0, len(x), ROWS):
            rows = x[first:first + ROWS]
            alike = np.concatenate([rows, np.zeros((ROWS - len(rows), x.shape[1]), x.dtype)])
            parts.append(answers(self.module_, self._inputs(alike)).double().numpy()[:len(rows)])
        return np.concatenate(parts)

    def _note(self, epoch: int, loss: float, check: float | None) -> None:
        if self.verbose:
            more = "" if check is None else f", validation loss {check:.4f}"
            print(f"epoch {epoch}: loss {loss:.4f}{more}", flush=True)


@dataclass(eq=False, repr=False, kw_only=True)
class NeuralClassifier(ClassifierMixin, _Neural):
    __doc__ = f"""A network as a scikit-learn classifier, trained by cross entropy on (N, features) and N labels of
    any kind.

    class_weight: None, "balanced" or a dict from label to weight.
{PARAMETERS}    classes_: the labels, in the order of ``predict_proba``'s columns.

    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> NeuralClassifier(hidden=(32,), epochs=60, random_state=0).fit(x, y).score(x, y) > 0.95
    True
    """

    _criterion = staticmethod(cross_entropy)
    class_weight: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralClassifier:
        """Train on X (N, features) and labels y (N,); ``sample_weight`` (N,) weighs the samples' losses."""
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"NeuralClassifier needs samples of at least 2 classes, got 1 class: {self.classes_[0]!r}")
        if self.class_weight is not None:
            balance = compute_sample_weight(self.class_weight, y)
            sample_weight = balance if sample_weight is None else balance * _check_sample_weight(sample_weight, X)
        self._train(X, codes.astype(np.int64), sample_weight, len(self.classes_), codes, "probability")
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (N, classes)."""
        p: np.ndarray = self._answers(X)
        return p / p.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row (N,)."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels


class NeuralRegressor(RegressorMixin, _Neural):
    __doc__ = f"""A network as a scikit-learn regressor, trained by the squared error on (N, features) and y (N,) or
    (N, targets).

    Targets are brought to mean 0 and deviation 1 for training, and predictions back, so that ``lr`` need not fit
    their scale.
{PARAMETERS}
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> y = 100 * np.sin(3 * x[:, 0])
    >>> NeuralRegressor(epochs=100, random_state=0).fit(x, y).score(x, y) > 0.95
    True
    """

    _criterion = staticmethod(mse_loss)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralRegressor:
        """Train on X (N, features) and y (N,) or (N, targets); ``sample_weight`` (N,) weighs the samples' losses."""
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True)
        rows = y.reshape(len(y), -1).astype(np.float64)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        share = weight / weight.sum() if weight.sum() else np.full(len(rows), 1 / len(rows))
        self.target_mean_ = share @ rows
        deviation = np.sqrt(share @ (rows - self.target_mean_) ** 2)
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        self.n_outputs_ = None if y.ndim == 1 else rows.shape[1]
        scaled = ((rows - self.target_mean_) / self.target_scale_).astype(np.float32)
        self._train(X, scaled, sample_weight, rows.shape[1], None, "mean")
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> np.ndarray:
        """(N,) or (N, targets), as y was."""
        y: np.ndarray = self._answers(X) * self.target_scale_ + self.target_mean_
        return y[:, 0] if self.n_outputs_ is None else y
