"""Ensembles: many networks, and networks beside scikit-learn's estimators, read handwritten digits better than one.

    rushlight run examples/ensembles.py

The digits are those in the wheel (1,797 scans of 8×8 pixels); 300 of them are learnt from, 1,197 are for the test. A
table shows for a single network, for each way to combine several, and for the estimators they are mixed with, the
accuracy on the test scans, the mean negative log likelihood of the right digit where there are probabilities (less is
better), and how long training took. Then a grid search over a pipeline shows a network among scikit-learn's own
tools. Needs scikit-learn: pip install 'rushlight[sklearn]'. Under half a minute on two cores.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from rushlight.ensemble import Committee, NeuralClassifier, averaging, bagging, boosting, mlp, stacking, voting
from rushlight.vision.datasets import Digits


def scans(learnt):
    """Pixels (N, 64) from 0 to 1 and digits, to learn from and for the test."""
    parts = [Digits(train=train) for train in (True, False)]
    x = np.concatenate([np.asarray(part.data, dtype=np.float32).reshape(len(part), 64) for part in parts])
    x, y = x / x.max(), np.concatenate([np.asarray(part.targets) for part in parts])
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:learnt], order[600:]
    return x[train], y[train], x[test], y[test]


def convolutional():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10))


def learners(epochs):
    """What is in the table: name and estimator."""
    net, weak = mlp(64, 10, hidden=(32,)), mlp(64, 10, hidden=(6,))
    args = {"epochs": epochs, "batch_size": 32, "random_state": 0}
    conv = NeuralClassifier(convolutional(), input_shape=(1, 8, 8), **args)
    forest, machine = RandomForestClassifier(100, random_state=0), SVC(random_state=0)
    yield "one network, 64-32-10", NeuralClassifier(net, **args)
    yield "one convolutional network", conv
    yield "logistic regression", LogisticRegression(max_iter=1000)
    yield "random forest", forest
    yield "support vector machine", machine
    yield "10 networks in one plan", NeuralClassifier(net, members=10, **args)
    yield "averaging: network, convolutional, forest", averaging([net, conv, forest], weights=[1, 2, 1], **args)
    yield "voting: network, convolutional, machine", voting([net, conv, machine], **args)
    yield "bagging of 10 networks", bagging(net, 10, **args)
    yield "one weak network, 64-6-10", NeuralClassifier(weak, **{**args, "epochs": 10})
    yield "boosting of 20 weak networks", boosting(weak, 20, **{**args, "epochs": 10})
    yield "stacking: network, convolutional, forest", stacking([net, conv, forest], cv=3, **args)


def table(x, y, tx, ty, epochs):
    print(f"{'':43}accuracy   log loss   seconds", flush=True)
    for name, learner in learners(epochs):
        start = time.perf_counter()
        learner.fit(x, y)
        seconds = time.perf_counter() - start
        chances = learner.predict_proba(tx) if hasattr(learner, "predict_proba") else None
        loss = "" if chances is None else f"{log_loss(ty, chances):.3f}"
        print(f"{name:43}{learner.score(tx, ty):8.1%}{loss:>11}{seconds:10.1f}", flush=True)


def one_plan_or_many(members, steps=200):
    """Seconds of training so many equal networks at once, with stacked weights,
    and one after the other, without the first steps."""
    x, y = torch.randn(64, 64), torch.randint(0, 10, (64,))

    def seconds(committees):
        spent = 0.0
        for committee in committees:
            optimizer = torch.optim.Adam(committee.parameters())
            for step in range(steps + 10):
                if step == 10:
                    start = time.perf_counter()
                optimizer.zero_grad()
                scores = committee(x)
                nn.functional.cross_entropy(scores.flatten(0, 1), y.repeat(len(scores)), reduction="sum").backward()
                optimizer.step()
            spent += time.perf_counter() - start
        return spent
    nets = [mlp(64, 10, hidden=(32,)) for _ in range(members)]
    return seconds([Committee(nets, combine=None)]), seconds([Committee([net], combine=None) for net in nets])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--learnt", type=int, default=300, help="how many scans to learn from, at most 600")
    p.add_argument("--epochs", type=int, default=40)
    args = p.parse_args()
    warnings.simplefilter("ignore")
    x, y, tx, ty = scans(args.learnt)
    table(x, y, tx, ty, args.epochs)
    together, apart = one_plan_or_many(10)
    print(f"200 steps of 10 networks: {together:.2f} s in one plan, {apart:.2f} s one after the other")
    pipeline = make_pipeline(StandardScaler(), NeuralClassifier(hidden=(64,), epochs=args.epochs, random_state=0))
    grid = {"neuralclassifier__lr": [3e-4, 3e-3], "neuralclassifier__weight_decay": [0.0, 1e-2]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(x, y)
    best = ", ".join(f"{name.partition('__')[2]} {value:g}" for name, value in search.best_params_.items())
    print(f"grid search: {best}; {search.score(tx, ty):.1%} on the test scans")


if __name__ == "__main__":
    main()
