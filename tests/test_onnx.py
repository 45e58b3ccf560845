"""torch.onnx.export: whole models, the form of files, errors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight.vision import models

onnx = pytest.importorskip("onnx")
from onnx_oracle import check, results, same

R = rl.randn
rl.manual_seed(3)


class Autoencoder(nn.Module):
    """A variational form without the sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.LeakyReLU(0.1, True), nn.Flatten(), nn.Linear(64, 6)
        )
        self.decoder = nn.Sequential(
            nn.Linear(6, 64), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Sigmoid()
        )

    def forward(self, x: Any) -> Any:
        z = self.encoder(x)
        return self.decoder(z), z


class Casting(nn.Module):
    """A layer without gradients, and one under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        with rl.no_grad():
            h = self.a(x)
        with rl.autocast("cpu"):
            y, z = self.b(h), rl.eye(2) @ (rl.ones(2) / 3)
        return y.float() + z.float()


class Block(nn.Module):
    """One of GPT's."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width), nn.Dropout(0.1)
        )

    def forward(self, x: Any) -> Any:
        b, t, c = x.size()
        q, k, v = self.attn(self.ln_1(x)).split(c, dim=2)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).contiguous().view(b, t, c))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Tied embeddings, learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(11, 16), nn.Embedding(12, 16)
        self.blocks = nn.ModuleList([Block(16, 2) for _ in range(2)])
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, idx: Any) -> Any:
        x = self.wte(idx) + self.wpe(rl.arange(0, idx.size(1), dtype=rl.long, device=idx.device))
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, [-1], :])


class CharLSTM(nn.Module):
    """Embedding, two layers, a head on the last step; states come back."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = (
            nn.Embedding(9, 5),
            nn.LSTM(5, 7, 2, batch_first=True, dropout=0.2),
            nn.Linear(7, 9),
        )

    def forward(self, x: Any, state: Any = None) -> Any:
        y, state = self.rnn(self.embed(x), state)
        return self.head(y), state


class UNet(nn.Module):
    """Down, up, a skip connection, padding to the skip's size."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.pool, self.mid = nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(8, 2, 1)

    def forward(self, x: Any) -> Any:
        a = F.relu(self.down(x))
        b = self.up(F.relu(self.mid(self.pool(a))))
        dy, dx = a.size(2) - b.size(2), a.size(3) - b.size(3)
        return self.out(rl.cat([F.pad(b, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2]), a], 1))


def _lenet() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 20),
        nn.ReLU(True),
        nn.Linear(20, 10),
        nn.LogSoftmax(1),
    )


def _tokens(*shape: int) -> Any:
    return rl.randint(0, 9, shape)


# name: (model, example inputs, dynamic axes, other inputs)
MODELS: dict[str, tuple[Any, Any, Any, Any]] = {
    "lenet": (_lenet, (R(2, 1, 28, 28),), {"input": {0: "n"}}, (R(5, 1, 28, 28),)),
    "resnet18": (models.resnet18, (R(1, 3, 64, 64),), {"x": {0: "n"}}, (R(3, 3, 64, 64),)),
    "mobilenet_v2": (models.mobilenet_v2, (R(2, 3, 32, 32),), {"x": {0: "n"}}, (R(3, 3, 32, 32),)),
    "vgg11": (models.vgg11, (R(1, 3, 32, 32),), None, None),
    "squeezenet": (models.squeezenet1_1, (R(1, 3, 64, 64),), {"x": {0: "n", 2: "h", 3: "w"}}, (R(2, 3, 96, 80),)),
    "shufflenet": (models.shufflenet_v2_x0_5, (R(1, 3, 32, 32),), {"x": {0: "n"}}, (R(2, 3, 32, 32),)),
    "vit": (
        lambda: models.VisionTransformer(32, 16, 2, 2, 32, 64),
        (R(2, 3, 32, 32),),
        {"x": {0: "n"}},
        (R(3, 3, 32, 32),),
    ),
    "autoencoder": (Autoencoder, (R(2, 1, 8, 8),), {"x": {0: "n"}}, (R(4, 1, 8, 8),)),
    "gpt": (GPT, (_tokens(2, 5),), {"idx": {0: "n", 1: "t"}}, (_tokens(3, 9),)),
    "char lstm": (CharLSTM, (_tokens(2, 6),), {"x": {0: "n", 1: "t"}}, (_tokens(3, 4),)),
    "char lstm with a state": (CharLSTM, (_tokens(2, 6), (R(2, 2, 7), R(2, 2, 7))), None, None),
    "unet": (UNet, (R(1, 1, 9, 7),), {"x": {0: "n"}}, (R(2, 1, 9, 7),)),
    "bidirectional gru": (
        lambda: nn.GRU(4, 5, 2, bidirectional=True),
        (R(3, 2, 4),),
        {"input": {0: "t", 1: "n"}},
        (R(6, 3, 4),),
    ),
    "rnn": (lambda: nn.RNN(4, 5, nonlinearity="relu", bias=False), (R(3, 2, 4),), None, None),
    "lstm cell": (lambda: nn.LSTMCell(4, 5), (R(3, 4),), {"input": {0: "n"}}, (R(2, 4),)),
    "gru cell": (lambda: nn.GRUCell(4, 5), (R(3, 4),), None, None),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        (R(3, 4, 8),),
        {"src": {0: "n", 1: "t"}},
        (R(2, 6, 8),),
    ),
    "transformer": (lambda: nn.Transformer(8, 2, 1, 1, 16), (R(3, 2, 8), R(4, 2, 8)), None, None),
    "attention with weights": (
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        (R(3, 4, 8), R(3, 5, 8), R(3, 5, 8)),
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str) -> None:
    make, args, dynamic, other = MODELS[name]
    model = make().eval()
    out = check(model, args, dynamic=dynamic, other=other, tol=2e-3)
    state = model.state_dict()
    held = {i.name: onnx.numpy_helper.to_array(i) for i in out.graph.initializer if not i.name.startswith("constant")}
    assert held and set(held) <= set(state)
    for key, array in held.items():
        assert np.array_equal(array, state[key].numpy()), key
    unread = (
        {k for k in state if k not in held} - {k for k in state if k.endswith("num_batches_tracked")} - {"head.weight"}
    )
    assert not unread


def test_names_and_file(tmp_path: Any) -> None:
    model = _lenet().eval()
    path, memory = tmp_path / "lenet.onnx", io.BytesIO()
    for f in (path, str(path), memory):
        rl.onnx.export(
            model,
            R(2, 1, 28, 28),
            f,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
        )
    loaded = onnx.load(path)
    assert loaded == onnx.load_from_string(memory.getvalue())
    assert [i.name for i in loaded.graph.input] == ["image"] and [o.name for o in loaded.graph.output] == ["scores"]
    shapes = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*loaded.graph.input, *loaded.graph.output)
    ]
    assert shapes == [["batch", 1, 28, 28], ["batch", 10]]
    x = R(3, 1, 28, 28)
    np.testing.assert_allclose(
        results(loaded, {"image": x.numpy()})[0], model(x).detach().numpy(), rtol=1e-4, atol=1e-5
    )


def test_old_form_of_arguments() -> None:
    def program(x: Any, scale: Any = None, shift: Any = 0.0) -> Any:
        return x * scale + shift

    a = rl.onnx.export(program, (R(2), {"scale": R(2)}))
    b = rl.onnx.export(program, (R(2),), kwargs={"scale": R(2), "shift": 2.0}, dynamo=False)
    assert [len(p.model_proto.graph.input) for p in (a, b)] == [2, 2]
    assert b(R(2), scale=R(2), shift=2.0)[0].shape == (2,)


def test_mode_is_put_back_and_training_can_be_kept() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append((model.training, rl.onnx.is_in_onnx_export())))
    out = rl.onnx.export(model, R(2, 3))
    assert model.training and seen == [(False, True)] and not rl.onnx.is_in_onnx_export()
    assert [n.op_type for n in out.model_proto.graph.node] == ["Gemm"]
    kept = rl.onnx.export(model, R(2, 3), training=rl.onnx.TrainingMode.PRESERVE)
    assert [n.op_type for n in kept.model_proto.graph.node] == ["Gemm", "Dropout"]


def test_parameters_may_stay_outside() -> None:
    model = nn.Linear(3, 2)
    bare = rl.onnx.export(model, R(1, 3), export_params=False).model_proto
    assert not bare.graph.initializer and [i.name for i in bare.graph.input] == ["input", "weight", "bias"]
    both = rl.onnx.export(model, R(1, 3), keep_initializers_as_inputs=True).model_proto
    assert len(both.graph.initializer) == 2 and len(both.graph.input) == 3
    x = R(1, 3)
    have = results(
        bare, {"input": x.numpy(), "weight": model.weight.detach().numpy(), "bias": model.bias.detach().numpy()}
    )
    np.testing.assert_allclose(have[0], model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_unsupported_operations_are_named() -> None:
    class Inner(nn.Module):
        def forward(self, x: Any) -> Any:
            return rl.linalg.inv(x)

    with pytest.raises(
            rl.onnx.errors.UnsupportedOperatorError,
            match=r"aten::linalg_inv.*opset version 20.*0\.part \(Inner\)|aten::inv",
    ) as e:

        class Outer(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.part = Inner()

            def forward(self, x: Any) -> Any:
                return self.part(x)

        rl.onnx.export(nn.Sequential(Outer()), rl.eye(3))
    assert "0.part (Inner)" in str(e.value) and isinstance(e.value, rl.onnx.OnnxExporterError)


def test_what_a_rule_does_not_cover_is_said() -> None:
    with pytest.raises(rl.onnx.errors.UnsupportedOperatorError, match="dynamic size"):
        rl.onnx.export(lambda x: x.unbind(0)[0], R(3, 2), dynamic_axes={"x": {0: "n"}})
    with pytest.raises(rl.onnx.errors.UnsupportedOperatorError, match="num_classes"):
        rl.onnx.export(lambda x: F.one_hot(x), rl.tensor([1, 2]))


def test_programs_that_depend_on_a_size() -> None:
    def by_size(x: Any) -> Any:
        return x * 2 if x.shape[0] > 3 else x + 1

    with pytest.raises(rl.onnx.OnnxExporterError, match="another way when sizes change"):
        rl.onnx.export(by_size, R(3, 2), dynamic_axes={"x": {0: "n"}})
    with pytest.raises(rl.onnx.OnnxExporterError, match="plain number"):
        rl.onnx.export(lambda x: x / int(x.shape[0]), R(3, 2), dynamic_axes={"x": {0: "n"}})
    with pytest.raises(rl.onnx.OnnxExporterError, match="does not run with other sizes"):
        rl.onnx.export(lambda x: x.view(3, 2), R(3, 2), dynamic_axes={"x": {0: "n"}})


def test_views_written_in_place_are_refused() -> None:
    def program(x: Any) -> Any:
        y = x * 1
        y[0].add_(1)
        return y

    with pytest.raises(rl.onnx.OnnxExporterError, match="view"):
        rl.onnx.export(program, R(2, 3))


def test_values_read_become_constants_with_a_warning() -> None:
    with pytest.warns(rl.jit.TracerWarning, match="Python value"):
        rl.onnx.export(lambda x: x + 1 if x.sum() > -100 else x, R(2))


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="Unsupported ONNX opset version"):
        rl.onnx.export(nn.ReLU(), R(2), opset_version=7)
    with pytest.raises(rl.onnx.OnnxExporterError, match="profile"):
        rl.onnx.export(nn.ReLU(), R(2), profile=True)
    with pytest.raises(ValueError, match="dynamic_axes"):
        rl.onnx.export(nn.ReLU(), R(2), dynamic_axes={"input": {3: "n"}})


def test_own_rules() -> None:
    rl.onnx.register_custom_op_symbolic("mine::linalg_inv", lambda g, x: g.op("Inverse", x, domain="mine"), 1)
    try:
        model = rl.onnx.export(rl.linalg.inv, rl.eye(3), custom_opsets={"mine": 2}).model_proto
    finally:
        rl.onnx.unregister_custom_op_symbolic("mine::linalg_inv", 1)
    assert [(n.op_type, n.domain) for n in model.graph.node] == [("Inverse", "mine")]
    assert {o.domain: o.version for o in model.opset_import}["mine"] == 2
    with pytest.raises(rl.onnx.OnnxExporterError):
        rl.onnx.register_custom_op_symbolic("noname", lambda g: None, 1)


def test_random_numbers_stay_random() -> None:
    class VAE(nn.Module):
        def forward(self, m: Any, s: Any) -> Any:
            return m + rl.randn_like(s) * s.exp()

    model = rl.onnx.export(VAE(), (R(50), R(50))).model_proto
    assert "RandomNormalLike" in [n.op_type for n in model.graph.node]
    drawn = results(model, {"m": np.zeros(50, np.float32), "s": np.zeros(50, np.float32)})[0]
    assert 0.5 < drawn.std() < 1.7


def test_verify_and_call() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1)).eval()
    program = rl.onnx.export(model, R(2, 3), verify=True)
    x = R(2, 3)
    assert rl.allclose(program(x)[0], model(x), atol=1e-6) and "2 nodes" in repr(program)
    same(program.model, model, (x,), 1e-5)


def test_switches_of_gradients_and_autocast_become_types() -> None:
    model = check(Casting(), (R(4, 3),), tol=3e-2)
    kinds = [n.op_type for n in model.graph.node]
    assert kinds.count("Cast") >= 2 and "_enter_autocast" not in kinds
