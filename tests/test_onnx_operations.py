"""Single operations as ONNX: every rule, compared with rushlight's own results."""

from __future__ import annotations

from typing import Any

import pytest

import rushlight as rl
import rushlight.nn.functional as F

pytest.importorskip("onnx")
from onnx_oracle import check

rl.manual_seed(7)
X = rl.randn(3, 4, 6)
Y = rl.randn(3, 4, 6)
P = rl.rand(3, 4, 6) * 0.8 + 0.1
M = rl.randn(4, 5)
I = rl.randint(0, 9, (3, 4))
B = X > 0
IMAGE = rl.randn(2, 4, 8, 8)
POINTWISE = """abs neg exp floor ceil sin cos atan sinh cosh tanh asinh sigmoid erf sign relu exp2 expm1 square trunc
frac erfc rad2deg deg2rad isnan
isinf isfinite round positive""".split()
POSITIVE = "log sqrt log2 log10 log1p rsqrt reciprocal asin acos atanh tan logit".split()
ACTIVATIONS = """relu relu6 elu selu celu leaky_relu silu mish softplus softsign hardswish hardsigmoid hardtanh
tanhshrink logsigmoid softshrink hardshrink
gelu rrelu""".split()
BINARY = "add sub mul div maximum minimum eq ne lt le gt ge atan2 hypot remainder fmod floor_divide".split()
REDUCTIONS = "sum mean prod amax amin logsumexp argmax argmin all any count_nonzero".split()
CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "softmax": (lambda x: (x.softmax(-1), F.log_softmax(x, 1), F.softmin(x, -1)), (X,)),
    "glu": (lambda x: F.glu(x, 1), (X,)),
    "prelu": (F.prelu, (X, rl.tensor([0.1, 0.2, 0.3, 0.4]))),
    "logaddexp": (lambda x, y: (rl.logaddexp(x, y), rl.logaddexp(x * 100, y)), (X, Y)), "xlogy": (lambda x, y: (rl.xlogy(x, y), rl.xlogy(x * 0, y)), (X, P)),
    "sinc": (lambda x: (rl.sinc(x), rl.sinc(x * 0)), (X,)), "take": (lambda x: x.take(rl.tensor([[0, 5], [71, -1]])), (X,)),
    "response": (lambda x: (F.local_response_norm(x, 3), F.local_response_norm(x, 5, 0.2, 0.5, 2.0)), (IMAGE,)),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), (X,)),
    "threshold": (lambda x: F.threshold(x, 0.1, 5.0), (X,)),
    "softplus beta": (lambda x: F.softplus(x, 2.0), (X,)),
    "clamp": (lambda x: (x.clamp(-1, 1), x.clamp(min=0), x.clamp_max(0.5), x.clamp(max=x.mean())), (X,)),
    "clamp tensors": (lambda x, y: x.clamp(min=y), (X, Y)),
    "nan_to_num": (lambda x: (x / (x > 0)).nan_to_num(1.0, 2.0, -3.0), (X,)),
    "logical": (
        lambda x, y: (
            (x > 0) & (y > 0),
            (x > 0) | (y > 0),
            (x > 0) ^ (y > 0),
            ~(x > 0),
            rl.logical_and(x, y),
            rl.logical_not(x),
        ),
        (X, Y),
    ),
    "integers": (lambda i: (i + 1, i * 2.5, i / 2, i // 2, i % 3, -i, i.float().sqrt(), i & 3, i | 4, ~i, i**2), (I,)),
    "scalars": (
        lambda x: (1 - x, 2 / (x.abs() + 1), 2**x, x**3, x**-1.0, x.abs() ** 0.5, x // 0.7, x % 0.7, 3 - 2 * x),
        (X,),
    ),
    "promotion": (lambda x, i: (x[:, :, 0] + i, i > 2.5, (i > 2) + 1, i.double() * 2, (i > 2) * x[:, :, 0]), (X, I)),
    "rounding": (
        lambda x, y: (
            rl.div(x, y, rounding_mode="floor"),
            rl.div(x, y, rounding_mode="trunc"),
            rl.add(x, y, alpha=2),
            rl.sub(x, y, alpha=0.5),
        ),
        (X, Y),
    ),
    "where": (lambda x, y: (rl.where(x > 0, x, y), rl.where(x > 0, 1.0, y), x.masked_fill(y > 0, -1)), (X, Y)),
    "lerp": (lambda x, y: (rl.lerp(x, y, 0.3), rl.addcmul(x, x, y, value=2.0), rl.addcdiv(x, x, y.abs() + 1)), (X, Y)),
    "max": (lambda x: (*x.max(1), *x.min(-1, keepdim=True), x.max(), x.min(), rl.max(x, x * 2)), (X,)),
    "var": (
        lambda x: (
            x.var(),
            x.var(1),
            x.std((0, 2), keepdim=True),
            x.var(1, unbiased=False),
            *rl.var_mean(x, 2),
            *rl.std_mean(x, 0),
        ),
        (X,),
    ),
    "norms": (
        lambda x: (
            x.norm(),
            x.norm(1, -1),
            x.norm(float("inf"), 1),
            rl.linalg.vector_norm(x, 3, 2),
            F.normalize(x, dim=-1),
            rl.linalg.norm(x[0, 0]),
        ),
        (X,),
    ),
    "similar": (lambda x, y: (F.cosine_similarity(x, y, -1), F.pairwise_distance(x, y), rl.cdist(x, y)), (X, Y)),
    "order": (
        lambda x: (
            *x.topk(2, -1),
            *x.sort(1),
            x.argsort(-1, descending=True),
            x.cumsum(1),
            *x.topk(1, 0, largest=False),
        ),
        (X,),
    ),
    "views": (
        lambda x: (
            x.view(12, 6),
            x.reshape(3, -1),
            x.flatten(1),
            x.flatten(),
            x.unflatten(2, (2, 3)),
            x.unsqueeze(1),
            x.unsqueeze(-1).squeeze(-1),
            x.transpose(0, 2),
            x.permute(2, 0, 1),
            x.movedim(0, -1),
            x.mT,
            x[0].T,
            x[0].t(),
            x.view_as(x),
            x.contiguous(),
        ),
        (X,),
    ),
    "expand": (
        lambda x: (
            x[:, :1].expand(3, 5, -1),
            x[0].expand(2, 4, 6),
            x.repeat(1, 2, 1),
            x[0].repeat(2, 1, 1),
            x.tile(2),
            x[0].expand_as(x),
            x.repeat_interleave(2, 1),
            x[0, 0].repeat_interleave(3),
        ),
        (X,),
    ),
    "joins": (
        lambda x, y: (
            rl.cat([x, y], 1),
            rl.stack([x, y], -1),
            rl.hstack([x, y]),
            rl.vstack([x, y]),
            *x.split(4, 2),
            *x.chunk(3, 1),
            *x.unbind(0),
            *x.split([1, 3], 1),
            *rl.tensor_split(x, 3, 2),
        ),
        (X, Y),
    ),
    "dtypes": (
        lambda x: (
            x.double(),
            x.long(),
            x.to(rl.int32),
            x.half().float(),
            x.bool(),
            x.type_as(x.double()),
            x.int() + 1,
        ),
        (X,),
    ),
    "flips": (lambda x: (x.flip(1), x.flip(0, 2), x.roll(1, 2), x.roll((1, -2), (0, 1)), x.roll(4)), (X,)),
    "triangles": (lambda x: (x.tril(), x.triu(1), x[0].diagonal(), x.diagonal(1, 1, 2)), (X,)),
    "meshgrid": (
        lambda m: (*rl.meshgrid(m[:, 0], m[0], indexing="ij"), *rl.meshgrid(m[:, 0], m[0], indexing="xy")),
        (M,),
    ),
    "indexing": (
        lambda x: (
            x[0],
            x[:, 1:3],
            x[..., -1],
            x[:, None, 0],
            x[1:, ::2, -2:],
            x[-1, 2],
            x[:, :, [0, 2]],
            x[:, -3:-1],
            x.select(1, -1),
            x.narrow(2, 1, 3),
        ),
        (X,),
    ),
    "index tensors": (
        lambda x, i: (
            x[:, i[0] % 4],
            x[i % 3, i % 4],
            x[:, i[0] % 4, i[1] % 6],
            x[i[0] % 3, :, i[1] % 6],
            x[x > 0],
            x[x[:, 0, 0] > 0],
        ),
        (X, I),
    ),
    "negative indices": (lambda x, i: (x[-i % 3 - 3], x[i[0] % 3 - 3, i[1] % 4 - 4]), (X, I)),
    "gather": (
        lambda x, i: (
            x.gather(2, i[..., None] % 6),
            x.index_select(1, i[0] % 4),
            rl.take_along_dim(x, i[..., None] % 6, 2),
        ),
        (X, I),
    ),
    "scatter": (
        lambda x, i: (
            rl.zeros(3, 9).scatter(1, i, x[..., 0]),
            rl.zeros(3, 9).scatter(1, i[:, :1], 2.0),
            x[:, :, 0].scatter_add(1, i % 4, x[..., 1]),
        ),
        (X, I),
    ),
    "embedding": (lambda i, w: (F.embedding(i % 4, w), F.one_hot(i, 9), w[i % 4]), (I, M)),
    "nonzero": (lambda x: (x.nonzero(), *rl.where(x > 0), x.masked_select(x > 0)), (X,)),
    "creation": (
        lambda x: (
            rl.zeros_like(x),
            rl.ones_like(x) + x,
            x.new_zeros(2) + x[0, 0, 0],
            rl.full_like(x, 3.0),
            rl.arange(6) + x,
            rl.eye(4) @ x,
            rl.linspace(0, 1, 6) * x,
            rl.tensor([1.0, 2.0])[0] * x,
            x * rl.ones(6, 6).tril()[2],
            x.new_full((6,), 2.0) * x,
        ),
        (X,),
    ),
    "products": (
        lambda x, m: (
            x.transpose(1, 2) @ m,
            x @ x.mT,
            m @ m.t(),
            m.mv(m[0]),
            m[0].dot(m[1]),
            rl.outer(m[0], m[1]),
            rl.bmm(x, x.mT),
            rl.addmm(m, m, m.t() @ m, beta=0.5, alpha=2.0),
            rl.baddbmm(x @ x.mT, x, x.mT),
            rl.einsum("bij,ik->bkj", x, m),
            rl.tensordot(x, m, ([1], [0])),
        ),
        (X, M),
    ),
    "linear": (
        lambda x, m: (F.linear(x, rl.ones(2, 6)), F.linear(m, m), F.bilinear(x[0], x[1], rl.ones(2, 6, 6))),
        (X, M),
    ),
    "padding": (
        lambda x: (
            F.pad(x, (1, 2)),
            F.pad(x, (1, 1), mode="reflect"),
            F.pad(x, (2, 0), mode="replicate"),
            F.pad(x, (1, 2, 0, 1), value=3.0),
            F.pad(x, (1, 2), mode="circular"),
            F.pad(x, (-1, -1)),
        ),
        (X,),
    ),
    "convolutions": (
        lambda x: (
            F.conv2d(x, rl.ones(6, 2, 3, 3), None, 2, 1, 1, 2),
            F.conv2d(x, rl.ones(2, 4, 3, 3), padding="same", dilation=2),
            F.conv1d(x[:, :, 0], rl.ones(3, 4, 2)),
            F.conv3d(x[:, None], rl.ones(2, 1, 2, 2, 2)),
            F.conv_transpose2d(x, rl.ones(4, 3, 3, 3), None, 2, 1, 1),
            F.conv2d(x[0], rl.ones(2, 4, 3, 3)),
        ),
        (IMAGE,),
    ),
    "pools": (
        lambda x: (
            F.max_pool2d(x, 2),
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, 2),
            F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
            F.adaptive_avg_pool2d(x, 1),
            F.adaptive_avg_pool2d(x, (4, 2)),
            F.adaptive_max_pool2d(x, 2),
            F.max_pool1d(x[:, :, 0], 2),
            F.avg_pool1d(x[:, :, 0], 2),
            F.lp_pool2d(x.abs(), 2, 2),
            *F.max_pool2d(x, 2, return_indices=True),
            F.avg_pool2d(x, 2, divisor_override=3),
            F.max_pool2d(x[0], 2),
        ),
        (IMAGE,),
    ),
    "uneven pools": (
        lambda x: (
            F.adaptive_avg_pool2d(x, (3, 5)),
            F.adaptive_max_pool2d(x, (5, 3)),
            F.adaptive_avg_pool2d(x[:, :, :1, :1], 7),
            F.adaptive_avg_pool1d(x[:, :, 0], 3),
            F.adaptive_max_pool3d(x[:, None], (3, 5, 7)),
        ),
        (IMAGE,),
    ),
    "norm layers": (
        lambda x: (
            F.layer_norm(x, (8,)),
            F.layer_norm(x, (8, 8), rl.ones(8, 8) * 2, rl.ones(8, 8)),
            F.group_norm(x, 2, rl.ones(4) * 3, rl.ones(4)),
            F.instance_norm(x),
            F.rms_norm(x, (8,)),
            F.batch_norm(x, rl.ones(4), rl.ones(4) * 2),
            F.batch_norm(x, None, None, training=True),
            F.local_response_norm(x, 3),
        ),
        (IMAGE,),
    ),
    "resize": (
        lambda x: (
            F.interpolate(x, scale_factor=2),
            F.interpolate(x, size=(5, 7)),
            F.interpolate(x, scale_factor=2, mode="bilinear"),
            F.interpolate(x, size=(5, 12), mode="bilinear", align_corners=True),
            F.interpolate(x, scale_factor=2.0, mode="bicubic"),
            F.interpolate(x, size=(4, 4), mode="area"),
            F.interpolate(x, size=(5, 6), mode="nearest-exact"),
        ),
        (IMAGE,),
    ),
    "rearrangements": (
        lambda x: (
            F.pixel_shuffle(x, 2),
            F.pixel_unshuffle(x, 2),
            F.channel_shuffle(x, 2),
            F.unfold(x, 3, 1, 1, 2),
            x.unfold(2, 3, 2),
            F.fold(F.unfold(x, 2, stride=2), 8, 2, stride=2),
        ),
        (IMAGE,),
    ),
    "grid_sample": (
        lambda x: F.grid_sample(x, rl.tensor([[[[0.1, -0.5], [0.7, 0.9]]]] * 2), align_corners=False),
        (IMAGE,),
    ),
    "attention": (
        lambda x, y: (
            F.scaled_dot_product_attention(x[None], y[None], y[None]),
            F.scaled_dot_product_attention(x[None], y[None], y[None], is_causal=True),
            F.scaled_dot_product_attention(x[None], y[None], y[None], attn_mask=rl.ones(4, 4).tril().bool(), scale=0.3),
        ),
        (X, Y),
    ),
    "losses": (
        lambda x, y: (
            F.mse_loss(x, y),
            F.l1_loss(x, y, reduction="sum"),
            F.smooth_l1_loss(x, y),
            F.huber_loss(x, y, delta=0.5),
            F.binary_cross_entropy_with_logits(x, y.sigmoid()),
            F.binary_cross_entropy(x.sigmoid(), y.sigmoid()),
            F.kl_div(x.log_softmax(-1), y.softmax(-1), reduction="batchmean"),
        ),
        (X, Y),
    ),
    "class losses": (
        lambda x, i: (
            F.cross_entropy(x[:, :, 0], i[:, 0] % 4),
            F.nll_loss(x[:, :, 0].log_softmax(1), i[:, 0] % 4, reduction="none"),
            F.cross_entropy(x[:, :, 0], i[:, 0] % 4, ignore_index=2, reduction="sum"),
        ),
        (X, I),
    ),
}


def writes(x: rl.Tensor, i: rl.Tensor) -> Any:
    """Writes in place."""
    a = x.clone()
    a[:, 0] = 1.0
    a[0, 1:3, ::2] = x[1, 1:3, ::2]
    a[a > 1] = 0.5
    a += 2
    a.mul_(x).relu_()
    b = rl.zeros(3, 6)
    b[1] = x[0, 0]
    b[:, i[0] % 3] = -1.0
    c = rl.zeros(4)
    c[1] = 5
    c.add_(1)
    d = x.clone()
    d.zero_()
    e = F.relu(x * 2, inplace=True).clamp_(max=1)
    return a, b, c * x[0, :, 0], d, e


CASES["writes"] = (writes, (X, I))
for _name in POINTWISE:
    CASES[_name] = (getattr(rl, _name), (X * 2,))
for _name in POSITIVE:
    CASES[_name] = (getattr(rl, _name), (P,))
for _name in ACTIVATIONS:
    CASES[f"F.{_name}"] = ((lambda f: lambda x: f(x))(getattr(F, _name)), (X * 3,))
for _name in BINARY:
    CASES[f"binary {_name}"] = ((lambda f: lambda x, y: (f(x, y), f(x[0], y[:, :1])))(getattr(rl, _name)), (X, Y))
for _name in REDUCTIONS:

    def _reduce(
        x: Any, f: Any = getattr(rl, _name), whole: bool = _name != "logsumexp", keeps: bool = _name != "count_nonzero"
    ) -> Any:
        return (*((f(x),) if whole else ()), f(x, 1), f(x, -1, **({"keepdim": True} if keeps else {})))

    CASES[f"reduce {_name}"] = (_reduce, (X,))


@pytest.mark.parametrize("name", CASES)
def test_operation(name: str) -> None:
    program, args = CASES[name]
    check(program, args)


# what files of an old opset are written with
@pytest.mark.parametrize(
    "name",
    [
        "views",
        "reduce sum",
        "reduce mean",
        "F.gelu",
        "gelu tanh",
        "norm layers",
        "var",
        "products",
        "F.mish",
        "indexing",
        "reduce argmax",
        "joins",
    ],
)
@pytest.mark.parametrize("opset", [13, 17, 23])
def test_other_opsets(name: str, opset: int) -> None:
    program, args = CASES[name]
    check(program, args, opset_version=opset)
