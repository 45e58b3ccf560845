"""Freezing, new heads, groups with learning rates of their own, gradual unfreezing."""

from __future__ import annotations

import copy
import doctest
import pickle

import numpy as np
import pytest

import realdata
import rushlight as rl
from rushlight import finetune, nn
from rushlight.finetune import (freeze, gradual_unfreezing, head_name, is_frozen, layer_groups, parameter_groups,
                                replace_head, unfreeze)
from rushlight.vision import datasets, models
from rushlight.vision.models.resnet import BasicBlock, ResNet


def small() -> nn.Sequential:
    rl.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5),
                         nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def step(model: nn.Module, optimizer: rl.optim.Optimizer) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(rl.randn(16, 4)), rl.randint(0, 3, (16,))).backward()
    optimizer.step()


def state(model: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


def test_frozen_layers_stay_what_they_are() -> None:
    """train() on the whole model does not wake frozen statistics; what is not frozen learns."""
    model = small()
    freeze(model[:3])
    model.train()
    before = state(model)
    optimizer = rl.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        step(model, optimizer)
    after = state(model)
    same = {k for k in before if np.array_equal(before[k], after[k])}
    assert same == {k for k in before if k.split(".")[0] in "012"}
    assert is_frozen(model[:3]) and not is_frozen(model)


@pytest.mark.parametrize("through", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_frozen_norms_survive_copies_and_wake_up(through: object) -> None:
    model = small()
    freeze(model)
    freeze(model)  # twice is once
    model = through(model)  # type: ignore[operator]
    model.train()
    mean = model[1].running_mean.numpy().copy()
    model(rl.randn(8, 4) + 3)
    assert np.array_equal(model[1].running_mean.numpy(), mean)
    unfreeze(model)
    model(rl.randn(8, 4) + 3)
    assert not np.array_equal(model[1].running_mean.numpy(), mean)
    assert not model[1]._forward_pre_hooks and all(p.requires_grad for p in model.parameters())
    model.eval()
    mean = model[1].running_mean.numpy().copy()
    model(rl.randn(8, 4))
    assert np.array_equal(model[1].running_mean.numpy(), mean)


def test_gradual_unfreezing_trains_one_group_more_each_time() -> None:
    model = small()
    groups = layer_groups(model, "3", "6")
    trained = []
    for i, parameters in enumerate(gradual_unfreezing(groups, lr=0.4, decay=0.5)):
        model.train()
        before = state(model)
        optimizer = rl.optim.SGD(parameters, lr=1.0)
        assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.2, 0.4][2 - i:]
        step(model, optimizer)
        trained.append({int(k[0]) for k, v in state(model).items() if not np.array_equal(before[k], v)})
    assert trained == [{6}, {3, 4, 6}, {0, 1, 3, 4, 6}]


def test_a_head_may_learn_faster_while_it_is_alone() -> None:
    model = small()
    rates = ([[g["lr"] for g in stage]
              for stage in gradual_unfreezing(layer_groups(model, "3", "6"), lr=0.4, decay=0.5, head_lr=2.0)])
    assert rates == [[2.0], [0.2, 0.4], [0.1, 0.2, 0.4]]


def test_a_slow_group_moves_by_its_share() -> None:
    """One SGD step: each group's change is its own rate times the gradient."""
    model = small()
    optimizer = rl.optim.SGD(parameter_groups(layer_groups(model, "3", "6"), lr=0.1, decay=0.5))
    before = [p.detach().numpy().copy() for p in model.parameters()]
    step(model, optimizer)
    rates = [0.025] * 4 + [0.05] * 4 + [0.1] * 2
    for p, old, rate in zip(model.parameters(), before, rates, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), old - rate * p.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_stages_of_a_resnet_on_pictures() -> None:
    """What a stage promises, by one SGD step of each: frozen weights and statistics stay bit for bit, and batch norms
    use them though the model trains; what is unfrozen moves by its own rate, and its statistics follow the batch."""
    images, labels = pictures()
    rl.manual_seed(0)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)
    model(images)  # statistics of these pictures
    replace_head(model, outputs=10)
    body, head = layer_groups(model)
    rates = [{"fc": 0.2}, {"fc": 0.05, "body": 0.05 / 2.6}]
    for parameters, rate in zip(gradual_unfreezing([body, head], lr=0.05, decay=1 / 2.6, head_lr=0.2),
                                rates, strict=True):
        before = state(model)
        model.eval()
        seen = model(images).detach().numpy()
        model.train()
        answers = model(images)
        assert np.array_equal(answers.detach().numpy(), seen) == is_frozen(body)
        optimizer = rl.optim.SGD(parameters)
        nn.functional.cross_entropy(answers, labels).backward()
        optimizer.step()
        after, gradients = state(model), {k: p.grad for k, p in model.named_parameters()}
        for name, value in after.items():
            share = rate.get("fc" if name.startswith("fc") else "body")
            if share is None:
                assert np.array_equal(value, before[name]) and gradients.get(name) is None, name
            elif name in gradients:
                assert gradients[name].abs().max() > 0, name
                np.testing.assert_allclose(value, before[name] - share * gradients[name].numpy(), rtol=1e-5, atol=1e-7)
            else:
                assert not np.array_equal(value, before[name]), name
    tracked = {int(value) for name, value in after.items() if name.endswith("num_batches_tracked")}
    assert tracked == {2}  # the first batch, and that of the second stage


def pictures() -> tuple[rl.Tensor, rl.Tensor]:
    """32 test pictures of FashionMNIST in three channels."""
    test = datasets.FashionMNIST(realdata.path("FashionMNIST").parent, train=False)
    return test.data[:32, None].float().div(255).expand(-1, 3, -1, -1), test.targets[:32]


def test_an_optimizer_may_go_on_with_the_group_just_unfrozen() -> None:
    model = small()
    stages = gradual_unfreezing(layer_groups(model, "3", "6"), lr=0.4, decay=0.5)
    optimizer = rl.optim.Adam(next(stages))
    for parameters in stages:
        optimizer.add_param_group(parameters[0])
        step(model, optimizer)
    assert sorted(g["lr"] for g in optimizer.param_groups) == [0.1, 0.2, 0.4]
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))


HEADS = {"resnet18": "fc", "mobilenet_v2": "classifier.1", "squeezenet1_1": "classifier.1", "vit_b_32": "heads.head",
         "shufflenet_v2_x0_5": "fc", "convnext_tiny": "classifier.2", "swin_t": "head", "regnet_y_400mf": "fc"}


@pytest.mark.parametrize("name", HEADS)
def test_heads_of_the_vision_models(name: str) -> None:
    model = models.get_model(name, weights=None)
    assert head_name(model) == HEADS[name]
    replace_head(model, 7)
    assert head_name(model) == HEADS[name]
    body, head = layer_groups(model)
    assert sum(p.numel() for g in (body, head) for p in g.parameters) == sum(p.numel() for p in model.parameters())
    assert head.parameters[0].shape[0] == 7


def test_a_new_head_answers_for_its_classes() -> None:
    for name in ("resnet18", "squeezenet1_1"):
        model = models.get_model(name, weights=None).eval()
        replace_head(model, 4)
        assert model(rl.randn(1, 3, 64, 64)).shape == (1, 4)


def test_mistakes_say_what_helps() -> None:
    model = small()
    with pytest.raises(ValueError, match="'9' is no layer of Sequential; it has 0, 1, 2"):
        layer_groups(model, "9")
    with pytest.raises(ValueError, match="'3' comes earlier"):
        layer_groups(model, "6", "3")
    with pytest.raises(TypeError, match="1 is a BatchNorm1d"):
        replace_head(model, 2, name="1")
    with pytest.raises(TypeError, match="itself the head"):
        replace_head(nn.Linear(2, 2), 3)
    with pytest.raises(ValueError, match="no linear layer or convolution"):
        head_name(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="decay must be"):
        parameter_groups(layer_groups(model), lr=1.0, decay=0.0)


def test_doctests() -> None:
    assert doctest.testmod(finetune).failed == 0
