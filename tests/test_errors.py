"""Mistakes that users make: PyTorch's exception type and first sentence,
the place in the model, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import rushlight

torch = pytest.importorskip("torch")

MODULES = {"rushlight": rushlight, "torch": torch}


def network(t: Any) -> Any:
    """A model whose layers hang at different depths; the last linear layer has the wrong size."""
    nn = t.nn

    class Net(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(784, 10))
            self.blocks = nn.ModuleList([nn.ModuleDict({"conv": nn.Conv2d(1, 8, 3), "norm": nn.BatchNorm2d(4)})])
            self.words = nn.Embedding(10, 4)

        def forward(self, x: Any, layer: str = "features") -> Any:
            return self.get_submodule(layer)(x)
    return Net()


class Case:
    """One mistake: what makes it, and words that rushlight adds to PyTorch's
    sentence and as the note about the place."""

    def __init__(self, mistake: Callable[[Any], Any], *helps: str, at: str | None = None):
        self.mistake, self.helps, self.at = mistake, helps, at


def layer(name: str, *shape: int, dtype: str = "float32") -> Callable[[Any], Any]:
    return lambda t: network(t)(t.zeros(shape, dtype=getattr(t, dtype)), name)


def twice(t: Any) -> None:
    loss = (t.ones(2, requires_grad=True) ** 2).sum()
    loss.backward()
    loss.backward()


def modified(t: Any) -> None:
    y = t.ones(2, requires_grad=True).exp()
    y.add_(1)
    y.sum().backward()


def modified_leaf(t: Any) -> None:
    x, w = t.ones(2, 2), t.ones(2, 2, requires_grad=True)
    y = x @ w
    x.add_(1)
    y.sum().backward()


def write_first(t: Any) -> None:
    t.ones(2, requires_grad=True)[0] = 1


def batches(t: Any) -> None:
    list(t.utils.data.DataLoader([t.zeros(3 + (i == 17)) for i in range(20)], 3, sampler=[4, 8, 17]))


def targets(values: Any, dtype: str = "int64", shape: tuple[int, ...] = (3, 5),
            loss: str = "cross_entropy") -> Callable[[Any], Any]:
    return lambda t: getattr(t.nn.functional, loss)(t.zeros(shape), t.tensor(values, dtype=getattr(t, dtype)))


CASES: dict[str, Case] = {
    # shapes
    "linear in a model": Case(layer("features", 2, 1, 28, 28), "input has 32 features (shape [2, 32]), the layer expects 784",
                              at="model.features.3 (Linear(784→10)), where model is Net"),
    "matmul": Case(lambda t: t.zeros(2, 3) @ t.zeros(4, 5), "inner sizes 3 and 4 must be equal"),
    "mm": Case(lambda t: t.mm(t.zeros(2, 3), t.zeros(4, 5)), "inner sizes 3 and 4 must be equal"),
    "addmm": Case(lambda t: t.addmm(t.zeros(5), t.zeros(2, 3), t.zeros(4, 5)), "3 and 4"),
    "bmm": Case(lambda t: t.bmm(t.zeros(2, 3, 4), t.zeros(2, 5, 6)), "The shapes are [2, 3, 4] and [2, 5, 6]", "4 and 5"),
    "matmul of batches": Case(lambda t: t.zeros(2, 3, 4) @ t.zeros(5, 4, 6), "The shapes are"),
    "matrix and vector": Case(lambda t: t.zeros(2, 3) @ t.zeros(4)),
    "dot": Case(lambda t: t.zeros(3) @ t.zeros(4)),
    "broadcasting": Case(lambda t: t.zeros(2, 3) + t.zeros(2, 4), "The shapes are [2, 3] and [2, 4]"),
    "conv channels": Case(layer("blocks.0.conv", 1, 3, 8, 8), "Dimension 1 of the input holds the channels",
                          at="model.blocks.0.conv (Conv2d(1→8)), where model is Net"),
    "conv channels last": Case(layer("blocks.0.conv", 2, 8, 8, 1), "x.movedim(-1, 1) has shape [2, 1, 8, 8]", at="Conv2d(1→8)"),
    "conv without channels": Case(layer("blocks.0.conv", 5, 8, 8), "x.unsqueeze(1)", at="Conv2d(1→8)"),
    "conv dimensions": Case(layer("blocks.0.conv", 8, 8), "(batch, channels, *sizes); unsqueeze", at="Conv2d(1→8)"),
    "conv of small pictures": Case(layer("blocks.0.conv", 1, 1, 2, 2), "The input has shape [1, 1, 2, 2]: pad it", at="Conv2d(1→8)"),
    "batch norm": Case(layer("blocks.0.norm", 1, 8, 2, 2), "input of shape [1, 8, 2, 2] has 8 channels", "made for 4", at="BatchNorm2d(4)"),
    "cat": Case(lambda t: t.cat([t.zeros(2, 3), t.zeros(2, 4)]), "[[2, 3], [2, 4]]", "dim= chooses another"),
    "cat of dimensions": Case(lambda t: t.cat([t.zeros(2, 3), t.zeros(2, 3, 1)]), "Tensor 1 has shape [2, 3, 1]", "unsqueeze"),
    "stack": Case(lambda t: t.stack([t.zeros(2, 3), t.zeros(2, 4)]), "Pad or crop them to one shape"),
    "view": Case(lambda t: t.zeros(2, 3).view(4, 2), "It would hold 8 elements"),
    "view with -1": Case(lambda t: t.zeros(2, 3).view(-1, 4), "hold 4 elements, of which 6 is no multiple"),
    "view of a transpose": Case(lambda t: t.zeros(2, 3).t().view(6), "The sizes are [3, 2], the strides [1, 3], wanted is [6]"),
    "reshape": Case(lambda t: t.zeros(2, 3).reshape(5), "It would hold 5 elements"),
    "loss of batches": Case(targets([0, 1])),
    # dtypes
    "bytes into a linear layer": Case(layer("features", 2, 1, 28, 28, dtype="uint8"), "x.to(torch.float32)", at="model.features.1 (Linear(784→32))"),
    "bytes into a convolution": Case(layer("blocks.0.conv", 2, 1, 8, 8, dtype="uint8"), "x.float() / 255", at="model.blocks.0.conv (Conv2d(1→8))"),
    "bytes without bias": Case(lambda t: t.nn.Conv2d(1, 8, 3, bias=False)(t.zeros(1, 1, 8, 8, dtype=t.uint8)), "x.float() / 255", at="Conv2d(1→8)"),
    "double into a convolution": Case(layer("blocks.0.conv", 2, 1, 8, 8, dtype="float64"), "input is float64, the weight float32", at="Conv2d"),
    "double into a linear layer": Case(layer("features", 2, 1, 28, 28, dtype="float64"), "x.to(torch.float32)", at="Linear(784→32)"),
    "float and double": Case(lambda t: t.zeros(2, 3) @ t.zeros(3, 4, dtype=t.float64), "f32[2,3] and f64[3,4]", ".float()"),
    "float indices of an embedding": Case(layer("words", 2), "Convert the indices with .long()", at="model.words (Embedding(10→4))"),
    "float class targets": Case(targets([0.0, 1.0, 2.0], "float32"), "target.long()", "shape [3]"),
    "float class targets of nll": Case(targets([0.0, 1.0, 2.0], "float32", loss="nll_loss"), "target.long()"),
    "int32 class targets": Case(targets([0, 1, 2], "int32"), "target.long()"),
    "integer targets of bce": Case(targets([0, 1, 1], shape=(3,), loss="binary_cross_entropy_with_logits"), "target.float()"),
    "double targets of bce": Case(targets([0, 1, 1], "float64", shape=(3,), loss="binary_cross_entropy"), "target.to(input.dtype)"),
    "float into integers": Case(lambda t: t.zeros(2, dtype=t.int64).add_(1.5)),
    "integers that require grad": Case(lambda t: t.arange(3, requires_grad=True), "int64"),
    "integers that are to require grad": Case(lambda t: t.arange(3).requires_grad_(), "int64", ".float()"),
    # values
    "class too large": Case(targets([0, 7, 2]), "It stands at position 1 of the targets, and the input has 5 classes (0 to 4)"),
    "class negative": Case(targets([0, 1, -3], loss="nll_loss"), "position 2"),
    "class of pixels": Case(targets([[0, 1, 2], [3, 9, 2]], shape=(2, 5, 3)), "position [1, 1]"),
    "classes from 1": Case(targets([1, 5, 2]), "Classes count from 0: subtract 1"),
    "one class": Case(targets(7, shape=(5,)), "5 classes (0 to 4)"),
    "embedding index": Case(lambda t: network(t)(t.tensor([[1, 2], [3, 10]]), "words"), "index 10, but the embedding has 10 rows (at position [1, 1])",
                            at="model.words (Embedding(10→4)), where model is Net"),
    "embedding index, negative": Case(lambda t: network(t)(t.tensor([1, -2]), "words"), "index -2", "at position [1]", at="model.words"),
    "index": Case(lambda t: t.zeros(3)[t.tensor([1, 5])], "at position [1]"),
    "assignment": Case(lambda t: t.zeros(3).__setitem__(t.tensor([1, -5]), 1.0), "at position [1]"),
    "gather": Case(lambda t: t.gather(t.zeros(2, 3), 1, t.tensor([[0, 3], [1, 2]])), "at position [0, 1]"),
    "scatter": Case(lambda t: t.zeros(2, 3).scatter(1, t.tensor([[0, -1]]), 1.0), "at position [0, 1]"),
    # gradients
    "second backward": Case(twice, "retain_graph=True"),
    "leaf in place": Case(lambda t: t.ones(2, requires_grad=True).add_(1), "torch.no_grad()", "x.detach()"),
    "view of a leaf in place": Case(write_first, "torch.no_grad()"),
    "modified": Case(modified, "set_detect_anomaly"),
    "modified leaf": Case(modified_leaf, "set_detect_anomaly"),
    "backward of many": Case(lambda t: (t.ones(2, requires_grad=True) * 2).backward(), "shape [2]", ".sum()"),
    "backward without gradient": Case(lambda t: t.ones(2).sum().backward(), ".detach()", "torch.no_grad()"),
    "numpy of a tensor with gradient": Case(lambda t: t.ones(2, requires_grad=True).numpy(), "detach().numpy()"),
    "item of many": Case(lambda t: t.ones(2).item(), "shape is [2]", ".tolist()"),
    "truth of many": Case(lambda t: bool(t.ones(2)), ".any() or .all()"),
    # subscripts
    "index of a number": Case(lambda t: t.tensor(5.0)[0]),
    "slice of a number": Case(lambda t: t.tensor(5.0)[:]),
    "a fraction as an index": Case(lambda t: t.ones(2)[1.5], "got float"),
    "text as an index": Case(lambda t: t.ones(2)["a"], "valid indices"),
    "steps of none": Case(lambda t: t.ones(2)[::0]),
    "steps backwards": Case(lambda t: t.ones(2)[::-1]),
    # devices
    "cuda": Case(lambda t: t.zeros(2).cuda(), "device='cpu'", "torch.cuda.is_available()"),
    "to cuda": Case(lambda t: t.zeros(2).to("cuda:0"), "device='cpu'"),
    "created on cuda": Case(lambda t: t.zeros(2, device="cuda"), "device='cpu'"),
    "a model on cuda": Case(lambda t: network(t).to("cuda"), "device='cpu'"),
    # data
    "collate": Case(batches, "entry 0 is dataset[4]", "entry 2 is dataset[17]", "indices [4, 8, 17]", "collate_fn"),
}
FIRST = {  # where PyTorch's sentence is not taken over whole: its common part
    "matmul of batches": "The size of tensor a (2) must match the size of tensor b (5)",
}


def raised(module: Any, case: Case) -> BaseException:
    with pytest.raises(Exception) as e:
        case.mistake(module)
    return e.value


@pytest.mark.parametrize("name", CASES)
def test_a_mistake(name: str) -> None:
    case = CASES[name]
    ours, theirs = raised(rushlight, case), raised(torch, case)
    assert isinstance(ours, type(theirs)), f"{type(ours).__name__}, PyTorch {type(theirs).__name__}: {theirs}"
    first = FIRST.get(name, str(theirs).splitlines()[0].rstrip("."))
    assert str(ours).startswith(first)
    for words in case.helps:
        assert words in str(ours), str(ours)
    notes = " ".join(getattr(ours, "__notes__", []))
    assert notes.startswith("raised in model") and case.at in notes if case.at else not notes


def test_ignored_classes_are_no_mistake() -> None:
    F = rushlight.nn.functional
    assert F.cross_entropy(rushlight.zeros(2, 4), rushlight.tensor([-100, 1])).item() == pytest.approx(1.386294)
    assert F.nll_loss(rushlight.zeros(2, 4), rushlight.tensor([9, 1]), ignore_index=9).item() == 0


def test_classes_that_are_not_known_yet() -> None:
    """They are found out when the plan runs, and named as well."""
    late = rushlight.tensor([0, 3, 1]) + 4
    with pytest.raises(IndexError, match=r"Target 7 is out of bounds\. It stands at position 1 of the targets"):
        rushlight.nn.functional.cross_entropy(rushlight.zeros(3, 6), late).item()
    with pytest.raises(IndexError, match=r"index 7, but the embedding has 6 rows \(at position \[1\]\)"):
        rushlight.nn.functional.embedding(rushlight.tensor([0, 3, 1]) + 4, rushlight.zeros(6, 2)).sum().item()


def test_nothing_else_is_lost_with_a_bad_index() -> None:
    """The error comes before the operation is recorded: what was recorded before it still has its numbers."""
    x = rushlight.arange(3.0) * 2
    with pytest.raises(IndexError):
        x[rushlight.tensor([4])]
    assert x.tolist() == [0, 2, 4]


def test_a_path_through_modules_in_a_plain_list() -> None:
    nn = rushlight.nn

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [nn.Linear(3, 4)]

        def forward(self, x: Any) -> Any:
            return self.hidden[0](x)
    with pytest.raises(RuntimeError) as e:
        nn.Sequential(nn.ReLU(), Outer())(rushlight.zeros(2, 5))
    assert e.value.__notes__ == ["raised in model.1.Linear (Linear(3→4)), where model is Sequential"]


def test_an_error_of_ones_own_gets_the_place_too() -> None:
    nn = rushlight.nn

    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("mine")
    model = nn.Sequential(nn.ReLU(), nn.Sequential(Broken()))
    for _ in range(2):  # and only once each time
        with pytest.raises(ValueError, match="mine") as e:
            model(rushlight.zeros(1))
        assert str(e.value) == "mine"
        assert e.value.__notes__ == ["raised in model.1.0 (Broken), where model is Sequential"]
