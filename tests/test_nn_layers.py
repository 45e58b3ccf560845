"""Every layer: constructor, repr, state_dict keys and versions, starting values, signatures."""

from __future__ import annotations

import inspect

import pytest
from nn_oracle import both, both_fail, torch

import rushlight

LAYERS = [
    "Linear(5, 3)",
    "Linear(5, 3, bias=False)",
    "Linear(784, 256)",
    "Bilinear(3, 4, 5)",
    "Identity(7, a=1)",
    "LazyLinear(4)",
    "Conv1d(4, 6, 3, padding=1)",
    "Conv2d(3, 8, (3, 5), stride=2, padding='valid')",
    "Conv2d(4, 8, 3, padding='same', dilation=2, groups=2, padding_mode='circular', bias=False)",
    "Conv3d(2, 4, 3)",
    "ConvTranspose1d(4, 6, 3, output_padding=1, stride=2)",
    "ConvTranspose2d(4, 6, 3, groups=2, dilation=2)",
    "ConvTranspose3d(2, 4, 3, padding=1)",
    "LazyConv2d(6, 3)",
    "LazyConvTranspose1d(6, 3)",
    "BatchNorm1d(4)",
    "BatchNorm2d(4, affine=False)",
    "BatchNorm3d(4, track_running_stats=False, momentum=None)",
    "SyncBatchNorm(4)",
    "LazyBatchNorm1d()",
    "InstanceNorm1d(4)",
    "InstanceNorm2d(4, affine=True, track_running_stats=True)",
    "LazyInstanceNorm3d(affine=True)",
    "LayerNorm((3, 4))",
    "LayerNorm(5, bias=False)",
    "LayerNorm(5, elementwise_affine=False)",
    "GroupNorm(2, 6)",
    "GroupNorm(2, 6, affine=False)",
    "RMSNorm(4)",
    "LocalResponseNorm(3)",
    "CrossMapLRN2d(3)",
    "RNN(3, 4)",
    "RNN(3, 4, 2, 'relu', bidirectional=True)",
    "LSTM(3, 4, 2, bidirectional=True, proj_size=2, batch_first=True)",
    "LSTM(3, 4, bias=False)",
    "GRU(3, 4, num_layers=2, dropout=0.5)",
    "RNNCell(3, 4, nonlinearity='relu')",
    "LSTMCell(3, 4, bias=False)",
    "GRUCell(3, 4)",
    "Embedding(7, 3, padding_idx=-2, max_norm=1.0)",
    "EmbeddingBag(7, 3, mode='sum', padding_idx=1)",
    "MultiheadAttention(8, 2)",
    "MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True)",
    "TransformerEncoderLayer(8, 2, 16)",
    "TransformerDecoderLayer(8, 2, 16, activation='gelu', norm_first=True, bias=False)",
    "Transformer(8, 2, 1, 2, 16)",
    "AdaptiveLogSoftmaxWithLoss(8, 20, [5, 12], head_bias=True)",
    "PReLU(3)",
    "RReLU(inplace=True)",
    "Hardtanh(inplace=True)",
    "ReLU6()",
    "ReLU(True)",
    "ELU()",
    "GELU('tanh')",
    "GLU()",
    "LeakyReLU(0.2, inplace=True)",
    "Softplus()",
    "Softshrink()",
    "Hardshrink(0.3)",
    "Threshold(0.1, 20)",
    "Softmax(dim=1)",
    "Hardswish(inplace=True)",
    "Dropout(0.3)",
    "AlphaDropout()",
    "Flatten()",
    "Unflatten(1, (2, 3))",
    "Fold((4, 5), 2)",
    "Unfold(2, padding=1)",
    "PixelShuffle(2)",
    "PixelUnshuffle(2)",
    "ChannelShuffle(2)",
    "Upsample(scale_factor=2)",
    "Upsample(size=(4, 4), mode='bilinear')",
    "UpsamplingBilinear2d(scale_factor=(2, 3))",
    "UpsamplingNearest2d(size=4)",
    "ReflectionPad1d(2)",
    "ReplicationPad3d(1)",
    "CircularPad2d((1, 2, 3, 4))",
    "ZeroPad2d(1)",
    "ConstantPad1d((1, 2), 3.5)",
    "MaxPool2d(2, ceil_mode=True)",
    "MaxPool1d(3, stride=2, dilation=2)",
    "MaxUnpool2d(2)",
    "AvgPool1d(2)",
    "AvgPool2d(2, stride=1)",
    "AvgPool3d((2, 2, 1))",
    "FractionalMaxPool2d(2, output_ratio=0.5)",
    "LPPool2d(2, 3)",
    "LPPool3d(1.5, (1, 2, 2), stride=2)",
    "AdaptiveAvgPool2d((None, 3))",
    "AdaptiveMaxPool1d(5)",
    "PairwiseDistance()",
    "CosineSimilarity()",
    "CrossEntropyLoss()",
    "LinearCrossEntropyLoss(5, 3)",
    "TripletMarginWithDistanceLoss()",
    "CTCLoss()",
]


@pytest.mark.parametrize("text", LAYERS)
def test_layer_is_pytorchs(text):
    """Repr, keys, versions, and every starting value bit for bit."""

    def look(lib):
        layer = eval(f"lib.nn.{text}", {"lib": lib})
        state = layer.state_dict()
        lazy = any(type(v).__name__.startswith("Uninitialized") for v in state.values())
        return {
            "repr": repr(layer),
            "metadata": dict(state._metadata),
            "keys": list(state),
            "values": None if lazy else dict(state),
            "parameters": [name for name, _ in layer.named_parameters()],
            "next random number": lib.rand(1),
        }

    both(look, exact=True)


PUBLIC = [name for name in dir(torch.nn) if name[0].isupper() and name != "Container"]


@pytest.mark.parametrize("name", PUBLIC)
def test_layer_exists_with_pytorchs_arguments(name):
    ours, theirs = getattr(rushlight.nn, name), getattr(torch.nn, name)

    def arguments(cls):
        function = cls.__new__ if "Parameter" == name or "Buffer" in name or "Uninit" in name else cls.__init__
        parameters = list(inspect.signature(function).parameters.values())[1:]
        return [(p.name, p.kind, None if callable(p.default) else p.default) for p in parameters]

    if name in ("RNN", "LSTM", "GRU", "Sequential", "LinearCrossEntropyOptions", "ReLU6"):
        return
    if name == "UninitializedParameter" or "Parameter" not in name and "Buffer" not in name:
        assert arguments(ours) == arguments(theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.nn.Conv2d(3, 4, 3, groups=0),
        lambda lib: lib.nn.Conv2d(3, 4, 3, groups=2),
        lambda lib: lib.nn.Conv2d(4, 3, 3, groups=2),
        lambda lib: lib.nn.Conv2d(4, 4, 3, stride=2, padding="same"),
        lambda lib: lib.nn.ConvTranspose2d(4, 4, 3, padding_mode="circular"),
        lambda lib: lib.nn.GroupNorm(4, 6),
        lambda lib: lib.nn.LSTM(3, 0),
        lambda lib: lib.nn.LSTM(3.0, 4),
        lambda lib: lib.nn.LSTM(3, 4, proj_size=4),
        lambda lib: lib.nn.GRU(3, 4, proj_size=2),
        lambda lib: lib.nn.RNN(3, 4, nonlinearity="gelu"),
        lambda lib: lib.nn.LSTM(3, 4, dropout=2),
        lambda lib: lib.nn.Dropout(1.5),
        lambda lib: lib.nn.Embedding(4, 3, padding_idx=4),
        lambda lib: lib.nn.MultiheadAttention(7, 2),
        lambda lib: lib.nn.MultiheadAttention(0, 2),
        lambda lib: lib.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
        lambda lib: lib.nn.Unflatten(1, 3),
        lambda lib: lib.nn.Unflatten(1, (2, "a")),
        lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, []),
        lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 5]),
        lambda lib: lib.nn.Hardtanh(1.0, -1.0),
        lambda lib: lib.nn.MultiMarginLoss(p=3),
        lambda lib: lib.nn.TripletMarginLoss(margin=0),
        lambda lib: lib.nn.HuberLoss(delta="a"),
        lambda lib: lib.nn.FractionalMaxPool2d(2),
        lambda lib: lib.nn.FractionalMaxPool2d(2, output_size=2, output_ratio=0.5),
        lambda lib: lib.nn.FractionalMaxPool3d(2, output_ratio=2.0),
        lambda lib: lib.nn.BatchNorm2d(3)(lib.zeros(2, 3)),
        lambda lib: lib.nn.BatchNorm1d(3)(lib.zeros(3)),
        lambda lib: lib.nn.InstanceNorm1d(3, affine=True)(lib.zeros(2, 4, 5)),
        lambda lib: lib.nn.CircularPad2d(1)(lib.zeros(2, 3)),
        lambda lib: lib.nn.Softmax2d()(lib.zeros(2, 3)),
        lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(2)),
        lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 4)),
        lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 3), (lib.zeros(1, 3, 4), lib.zeros(1, 3, 4))),
        lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 2, 3), (lib.zeros(1, 4), lib.zeros(1, 4))),
        lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(5, 3), (lib.zeros(1, 1, 4), lib.zeros(1, 1, 4))),
        lambda lib: lib.nn.GRU(3, 4)(lib.zeros(5, 2, 3), lib.zeros(1, 2, 5)),
        lambda lib: lib.nn.RNN(3, 4)(lib.zeros(5, 2, 3, 1)),
        lambda lib: lib.nn.RNN(3, 4)(lib.zeros(5, 2, 3, dtype=lib.float64)),
        lambda lib: lib.nn.LSTMCell(3, 4)(lib.zeros(1, 2, 3)),
        lambda lib: lib.nn.GRUCell(3, 4)(lib.zeros(2, 3), lib.zeros(1, 2, 4)),
        lambda lib: lib.nn.Transformer(8, 2, 1, 1, 8)(lib.zeros(3, 2, 8), lib.zeros(3, 4, 8)),
        lambda lib: lib.nn.Transformer(8, 2, 1, 1, 8)(lib.zeros(3, 2, 4), lib.zeros(3, 2, 8)),
        lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5])(lib.zeros(2, 8), lib.tensor([1, 20])),
        lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5])(lib.zeros(3, 8), lib.tensor([1, 2])),
        lambda lib: lib.nn.ConvTranspose2d(3, 3, 3, stride=2)(lib.zeros(1, 3, 4, 4), output_size=(20, 20)),
        lambda lib: lib.nn.LinearCrossEntropyOptions(chunking_method="rows"),
        lambda lib: lib.nn.LinearCrossEntropyLoss(5, 3, label_smoothing=2),
    ],
)
def test_wrong_arguments_raise_pytorchs_errors(make):
    both_fail(make)


def test_batch_norm_counts_batches_and_loads_version_1():
    def train(lib):
        norm = lib.nn.BatchNorm1d(3, momentum=None)
        for _ in range(3):
            norm(lib.randn(5, 3))
        state = norm.state_dict()
        old = {key: state[key] for key in state if key != "num_batches_tracked"}
        again = lib.nn.BatchNorm1d(3)
        return norm.state_dict(), str(again.load_state_dict(old)), again.state_dict()

    both(train)


def test_convert_sync_batchnorm_keeps_tensors():
    def convert(lib):
        model = lib.nn.Sequential(lib.nn.Conv2d(1, 2, 3), lib.nn.Sequential(lib.nn.BatchNorm2d(2)))
        converted = lib.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return repr(converted), converted.state_dict()

    both(convert)


def test_adaptive_softmax_numbers():
    def compute(lib):
        layer = lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 12])
        x = lib.randn(6, 8)
        output, loss = layer(x, lib.tensor([1, 6, 19, 4, 12, 5]))
        loss.backward()
        single = layer(x[0], lib.tensor(7))
        return output, loss, layer.head.weight.grad, layer.log_prob(x), layer.predict(x), single.output, single.loss

    both(compute)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_cross_map_lrn(size):
    both(lambda lib: lib.nn.CrossMapLRN2d(size, alpha=0.3)(lib.randn(2, 7, 3, 3)))


@pytest.mark.parametrize("batch_first", [False, True])
def test_encoder_masks(batch_first):
    def compute(lib):
        layer = lib.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
        encoder = lib.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        x = lib.randn(4, 4, 8)
        causal = lib.nn.Transformer.generate_square_subsequent_mask(4)
        padding = lib.tensor([[False, False, False, True]] * 4)
        return encoder(x, mask=causal), encoder(x, src_key_padding_mask=padding), causal

    both(compute)


def test_the_old_arguments_of_nll_ask_for_the_same_mean():
    """Rows that are ignored do not count, whichever way the mean is asked for."""
    logs = rushlight.log_softmax(rushlight.tensor([[0.0, 1, 2], [2, 0, 1], [1, 1, 0]]), 1)
    target, weight = rushlight.tensor([2, -100, 0]), rushlight.tensor([1.0, 2, 3])
    for w in (None, weight):
        wanted = rushlight.nn.functional.nll_loss(logs, target, w)
        for old in ({"size_average": True}, {"reduce": True}, {"size_average": True, "reduce": True}):
            assert rushlight.nn.functional.nll_loss(logs, target, w, **old).item() == wanted.item()
