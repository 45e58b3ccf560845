"""models.feature_extraction against torchvision: names of nodes, results from within, modes, copies, errors."""

from __future__ import annotations

import copy
import warnings
from importlib import import_module

import numpy as np
import pytest
from vision_models import as_file, fill, pair
from vision_oracle import torch

import rushlight as rl
from rushlight.vision.models import feature_extraction as ours

theirs = import_module("torchvision.models.feature_extraction")
NAMED = ["alexnet", "convnext_tiny", "deeplabv3_resnet50", "densenet121", "efficientnet_b0",
         "fcn_resnet50", "googlenet", "inception_v3", "lraspp_mobilenet_v3_large", "mc3_18", "mnasnet0_5",
         "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet50", "s3d",
         "shufflenet_v2_x0_5", "squeezenet1_1", "swin3d_t", "swin_t", "swin_v2_t", "vgg11", "vit_b_32"]


@pytest.mark.parametrize("name", NAMED)
def test_names_are_torchvisions(name):
    mine, reference = pair(name)
    found, expected = [], []
    with warnings.catch_warnings(record=True) as mine_warned:
        warnings.simplefilter("always")
        found = ours.get_graph_node_names(mine)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        expected = theirs.get_graph_node_names(reference)
    assert found == expected
    assert [str(w.message) for w in mine_warned] == [str(w.message) for w in warned]
    assert not mine.training and not mine.get_submodule(next(n for n, _ in mine.named_modules() if n)).training


def both_extract(name, x, **options):
    mine, reference = pair(name)
    fill(reference)
    mine.load_state_dict(rl.load(as_file(reference.state_dict())), strict=True)
    nets = ours.create_feature_extractor(mine, **options), theirs.create_feature_extractor(reference, **options)
    with rl.no_grad(), torch.no_grad():
        return nets, nets[0](rl.tensor(x)), nets[1](torch.from_numpy(x))


@pytest.mark.parametrize(("name", "nodes", "size"), [
    ("resnet18", {"layer1": "low", "layer3.0.relu_1": "middle", "flatten": "vector"}, 64),
    ("resnet18", ["layer2", "avgpool"], 64),
    ("mobilenet_v3_small", ["features.3", "features.9.block.2"], 64),
    ("swin_t", {"features.1": "first", "features.3.1.add": "deep"}, 72),
])
def test_results(name, nodes, size):
    x = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)
    (mine, reference), found, expected = both_extract(name, x, return_nodes=nodes)
    assert list(found) == list(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key].numpy(), value.numpy(), rtol=1e-4, atol=1e-4 * float(value.abs().max()))
    # what is not needed is gone
    assert [k for k, _ in mine.named_parameters()] == [k for k, _ in reference.named_parameters()]
    assert type(mine).__name__ == type(reference).__name__ and not mine.training


class TwoWays(rl.nn.Module):
    """Does more in training."""

    def __init__(self):
        super().__init__()
        self.first, self.second = rl.nn.Linear(3, 4), rl.nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(x)
        if self.training:
            x = x.relu()
        return self.second(x)


def test_modes_have_their_graphs():
    model = TwoWays()
    with pytest.warns(UserWarning, match="in eval mode are a subsequence of those obtained in train mode"):
        assert ours.get_graph_node_names(model) == (["x", "first", "relu", "second"], ["x", "first", "second"])
    assert model.training
    with pytest.raises(ValueError, match="node: 'relu' is not present in model.*separately"):
        ours.create_feature_extractor(model, ["relu"])
    net = ours.create_feature_extractor(model, train_return_nodes={"relu": "hidden"},
                                        eval_return_nodes={"first": "hidden"}, suppress_diff_warning=True)
    x = rl.randn(5, 3)
    expected = model.first(x)
    assert rl.equal(net(x)["hidden"], expected.relu())
    assert rl.equal(net.eval()(x)["hidden"], expected) and rl.equal(net.train()(x)["hidden"], expected.relu())
    net(x)["hidden"].sum().backward()
    assert model.first.weight.grad is not None  # the layers are the model's own
    twin = copy.deepcopy(net.eval())
    with rl.no_grad():
        model.first.weight.zero_()
    assert rl.equal(twin(x)["hidden"], expected) and not rl.equal(net(x)["hidden"], expected)
    assert rl.equal(twin.train()(x)["hidden"], expected.relu())


class Part(rl.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x  # cannot be traced


def test_leaves():
    model = rl.nn.Sequential(rl.nn.Linear(3, 3), Part())
    with pytest.raises(rl.fx.proxy.TraceError):
        ours.get_graph_node_names(model)
    assert ours.get_graph_node_names(model, {"leaf_modules": [Part]})[0] == ["input", "0", "1"]
    net = ours.create_feature_extractor(model, ["1"], tracer_kwargs={"leaf_modules": [Part]})
    x = rl.randn(2, 3)
    assert rl.equal(net(x)["1"], model(x))


@pytest.mark.parametrize(("options", "text"), [
    ({}, "Either `return_nodes` or"), ({"train_return_nodes": ["0"]}, "then both should be specified"),
    ({"return_nodes": ["0"], "train_return_nodes": ["0"], "eval_return_nodes": ["0"]}, "then both should be specified"),
    ({"return_nodes": ["00"]}, "node: '00' is not present in model"),
])
def test_arguments_that_do_not_fit(options, text):
    with pytest.raises(ValueError, match=text):
        ours.create_feature_extractor(rl.nn.Sequential(rl.nn.Linear(3, 3)), **options)
