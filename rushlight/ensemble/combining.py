"""scikit-learn's ensembles of rushlight modules and scikit-learn estimators, mixed as you like.

Every learner is a module, a function of (inputs, outputs) that builds one, or an estimator.
Modules become `NeuralClassifier` or, with ``task="regression"``, `NeuralRegressor`, with the
further keywords (epochs, lr, input_shape, …).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from sklearn import ensemble as sk
from sklearn.base import BaseEstimator, is_classifier, is_regressor

from rushlight import nn
from rushlight.ensemble.estimators import NeuralClassifier, NeuralRegressor

Learner = nn.Module | Callable[[int, int], nn.Module] | BaseEstimator
Task = Literal["classification", "regression"]

NEURAL = {"classification": NeuralClassifier, "regression": NeuralRegressor}
# scikit-learn's class of each way to combine, for each task
VOTING = {"classification": sk.VotingClassifier, "regression": sk.VotingRegressor}
BAGGING = {"classification": sk.BaggingClassifier, "regression": sk.BaggingRegressor}
BOOSTING = {"classification": sk.AdaBoostClassifier, "regression": sk.AdaBoostRegressor}
STACKING = {"classification": sk.StackingClassifier, "regression": sk.StackingRegressor}


def averaging(learners: Iterable[Learner], weights: Sequence[float] | None = None, *, task: Task | None = None,
              **neural: Any) -> Any:
    """Learners trained on the same data; class probabilities, or the numbers predicted, are averaged.

    >>> from sklearn.linear_model import LogisticRegression
    >>> averaging([LogisticRegression(), nn.Linear(4, 3)]).estimators[1]
    ('learner2', NeuralClassifier(module=Linear(in_features=4, out_features=3, bias=True)))
    """
    task, named = _named(learners, task, neural)
    return VOTING[task](named, weights=weights, **({"voting": "soft"} if task == "classification" else {}))


def voting(learners: Iterable[Learner], weights: Sequence[float] | None = None, **neural: Any) -> Any:
    """Classifiers trained on the same data; each has one vote, the label with most wins.

    >>> voting([nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)]).voting
    'hard'
    """
    return sk.VotingClassifier(_named(learners, "classification", neural)[1], voting="hard", weights=weights)


def bagging(learner: Learner, n: int = 10, *, max_samples: float = 1.0, max_features: float = 1.0,
            random_state: Any = None, n_jobs: int | None = None, task: Task | None = None, **neural: Any) -> Any:
    """``n`` copies of a learner, each trained on samples drawn with replacement;
    their answers are averaged (Breiman, 1996).

    >>> bagging(nn.Linear(4, 3), 5, epochs=20).n_estimators
    5
    """
    task, [(_, base)] = _named([learner], task, neural)
    return BAGGING[task](base, n_estimators=n, max_samples=max_samples, max_features=max_features,
                         random_state=random_state, n_jobs=n_jobs)


def boosting(learner: Learner, n: int = 10, *, learning_rate: float = 1.0, random_state: Any = None,
             task: Task | None = None, **neural: Any) -> Any:
    """``n`` copies of a learner in a row; each gives more weight to what those before got wrong (AdaBoost: SAMME, R2).

    >>> type(boosting(nn.Linear(4, 1), 5, task="regression")).__name__
    'AdaBoostRegressor'
    """
    task, [(_, base)] = _named([learner], task, neural)
    return BOOSTING[task](base, n_estimators=n, learning_rate=learning_rate, random_state=random_state)


def stacking(learners: Iterable[Learner], final: Learner | None = None, *, cv: Any = None, passthrough: bool = False,
             n_jobs: int | None = None, task: Task | None = None, **neural: Any) -> Any:
    """A final learner answers from the learners' answers to samples they were not trained on (Wolpert, 1992).

    ``final=None`` is logistic regression, or ridge regression; ``cv`` folds give it those answers (5);
    ``passthrough`` shows it the inputs as well.

    >>> type(stacking([nn.Linear(4, 3), nn.Linear(4, 3)])).__name__
    'StackingClassifier'
    """
    task, named = _named(learners, task, neural)
    last = None if final is None else _named([final], task, neural)[1][0][1]
    return STACKING[task](named, final_estimator=last, cv=cv, passthrough=passthrough, n_jobs=n_jobs)


def _named(learners: Iterable[Learner], task: str | None, neural: dict[str, Any]) -> tuple[str, list[tuple[str, Any]]]:
    """The task, which the estimators tell if there are any, and the learners as estimators with names."""
    learners = list(learners)
    if not learners:
        raise ValueError("an ensemble needs at least one learner, got none")
    told = {"classification" if is_classifier(x) else "regression" for x in learners
            if isinstance(x, BaseEstimator) and (is_classifier(x) or is_regressor(x))}
    if len(told | ({task} if task else set())) > 1:
        raise ValueError(f"these learners are for {' and '.join(sorted(told))}; an ensemble has one task"
                         + (f", and task={task!r} was asked for" if task else ""))
    task = task or next(iter(told), "classification")
    if task not in NEURAL:
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    estimators = [x if isinstance(x, BaseEstimator) else _neural(x, task, neural) for x in learners]
    return task, [(f"learner{i}", x) for i, x in enumerate(estimators, 1)]


def _neural(learner: Any, task: str, settings: dict[str, Any]) -> Any:
    if not callable(learner):
        raise TypeError("a learner is a module, a function of (inputs, outputs) or a scikit-learn estimator, "
                        f"got {type(learner).__name__}")
    return NEURAL[task](learner, **settings)
