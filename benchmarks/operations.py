"""Single operations of middling size: forward and backward pass of one operation, with one number read.

Each entry of a group takes torch (or what stands for it) and gives a function to be timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Run = Callable[[], Any]
Make = Callable[[Any], Run]


def slope(make: Callable[..., Any], *shape: int) -> Make:
    """Forward and backward pass of what `make(torch)` gives, on random numbers of a shape; an element of the gradient is read."""
    def prepared(torch: Any) -> Run:
        function, x = make(torch), torch.randn(*(shape or (512, 512)), requires_grad=True)

        def run() -> float:
            y = function(x)
            (y if y.dim() == 0 else y.sum()).backward()
            read = x.grad.view(-1)[0].item()
            x.grad = None
            return float(read)
        return run
    return prepared


def value(make: Callable[..., Any], *shape: int) -> Make:
    """What `make(torch)` gives for random numbers of a shape; its sum is read."""
    def prepared(torch: Any) -> Run:
        function, x = make(torch), torch.randn(*(shape or (512, 512)))
        return lambda: function(x).sum().item()
    return prepared


def _labels(torch: Any, count: int = 512, classes: int = 512) -> Any:
    return torch.randint(0, classes, (count,))


def _scattered(torch: Any) -> Callable[[Any], Any]:
    index = _labels(torch)[:, None].expand(-1, 512)
    return lambda x: torch.zeros(512, 512).scatter_add(0, index, x)


def _added(torch: Any) -> Callable[[Any], Any]:
    index = _labels(torch)
    return lambda x: torch.zeros(512, 512).index_add(0, index, x)


def _gathered(torch: Any) -> Callable[[Any], Any]:
    index = _labels(torch)[:, None].expand(-1, 8)
    return lambda x: x.gather(1, index)


def _at_places(torch: Any) -> Callable[[Any], Any]:
    index = _labels(torch)
    return lambda x: x[index, index]


def _rows(torch: Any) -> Callable[[Any], Any]:
    index = _labels(torch)
    return lambda x: x[index]


def _sampled(torch: Any) -> Callable[[Any], Any]:
    grid = torch.rand(8, 32, 32, 2) * 2 - 1
    return lambda x: torch.nn.functional.grid_sample(x, grid, align_corners=False)


def _embedded(torch: Any, name: str) -> Run:
    layer, tokens = getattr(torch.nn, name)(1000, 64), torch.randint(0, 1000, (32, 100))

    def run() -> float:
        layer(tokens).sum().backward()
        read = layer.weight.grad.view(-1)[0].item()
        layer.weight.grad = None
        return float(read)
    return run


def _cells(torch: Any) -> Callable[[Any], Any]:
    cell = torch.nn.LSTMCell(64, 64)

    def steps(x: Any) -> Any:
        h = c = torch.zeros(32, 64)
        for t in range(20):
            h, c = cell(x[:, t], (h, c))
        return h
    return steps


def _attended(torch: Any) -> Callable[[Any], Any]:
    layer = torch.nn.MultiheadAttention(64, 4, batch_first=True)
    return lambda x: layer(x, x, x)[0]


def _recurrent(torch: Any) -> Callable[[Any], Any]:
    layer = torch.nn.LSTM(64, 64, batch_first=True)
    return lambda x: layer(x)[0]


def _definite(torch: Any, x: Any) -> Any:
    return x @ x.T + 50 * torch.eye(128)


def _labelled(torch: Any) -> Callable[[Any], Any]:
    labels = _labels(torch, classes=10)
    return lambda x: torch.nn.functional.cross_entropy(x, labels)


def _connectionist(torch: Any) -> Callable[[Any], Any]:
    labels, lengths = torch.randint(1, 20, (8, 12)), torch.full((8,), 12)
    return lambda x: torch.nn.functional.ctc_loss(x.log_softmax(2), labels, torch.full((8,), 60), lengths)


def _functional(name: str, *args: Any, **options: Any) -> Callable[[Any], Callable[[Any], Any]]:
    return lambda torch: lambda x: getattr(torch.nn.functional, name)(x, *args, **options)


def _method(name: str, *args: Any, **options: Any) -> Callable[[Any], Callable[[Any], Any]]:
    return lambda torch: lambda x: getattr(x, name)(*args, **options)


def _layer(name: str, *args: Any, **options: Any) -> Callable[[Any], Any]:
    return lambda torch: getattr(torch.nn, name)(*args, **options)


PICTURES, TOKENS = (8, 16, 64, 64), (32, 100, 64)

GROUPS: dict[str, dict[str, Make]] = {
    "op_images": {
        "bilinear ×2": slope(_functional("interpolate", scale_factor=2, mode="bilinear"), *PICTURES),
        "nearest ×2": slope(_functional("interpolate", scale_factor=2), *PICTURES),
        "average pooling": slope(_functional("avg_pool2d", 2), *PICTURES),
        "maximum pooling": slope(_functional("max_pool2d", 2), *PICTURES),
        "adaptive pooling": slope(_functional("adaptive_avg_pool2d", 7), *PICTURES),
        "transposed convolution": slope(_layer("ConvTranspose2d", 16, 8, 4, 2, 1), *PICTURES),
        "depthwise convolution": slope(_layer("Conv2d", 16, 16, 3, padding=1, groups=16), *PICTURES),
        "3-d convolution": slope(_layer("Conv3d", 4, 8, 3, padding=1), 2, 4, 16, 32, 32),
        "reflected padding": slope(_functional("pad", (1, 1, 1, 1), mode="reflect"), *PICTURES),
        "pixel shuffle": slope(_functional("pixel_shuffle", 2), *PICTURES),
        "grid sample": slope(_sampled, *PICTURES),
        "unfold": slope(_functional("unfold", 3), *PICTURES),
    },
    "op_layers": {
        "batch norm": slope(_layer("BatchNorm2d", 16), *PICTURES),
        "group norm": slope(_layer("GroupNorm", 4, 16), *PICTURES),
        "instance norm": slope(_layer("InstanceNorm2d", 16), *PICTURES),
        "layer norm": slope(_layer("LayerNorm", 64), *TOKENS),
        "attention": slope(_attended, *TOKENS),
        "LSTM": slope(_recurrent, *TOKENS),
        "20 steps of an LSTM cell": slope(_cells, *TOKENS),
        "embedding": lambda torch: _embedded(torch, "Embedding"),
        "embedding bag": lambda torch: _embedded(torch, "EmbeddingBag"),
        "weight norm": slope(lambda torch: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(512, 64))),
        "spectral norm": slope(lambda torch: torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(512, 64))),
    },
    "op_losses": {
        "cross-entropy": slope(_labelled, 512, 10),
        "binary cross-entropy": slope(lambda torch: lambda x: torch.nn.functional.binary_cross_entropy_with_logits(x, (x.detach() > 0).float())),
        "Huber": slope(lambda torch: lambda x: torch.nn.functional.huber_loss(x, torch.zeros_like(x))),
        "Kullback–Leibler": slope(lambda torch: lambda x: torch.nn.functional.kl_div(
            x.log_softmax(1), torch.full_like(x, 1 / 512), reduction="batchmean")),
        "triplet margin": slope(lambda torch: lambda x: torch.nn.functional.triplet_margin_loss(x, x.flip(0), x.roll(1, 0))),
        "cosine similarity": slope(lambda torch: lambda x: torch.nn.functional.cosine_similarity(x, x.flip(0))),
        "CTC": slope(_connectionist, 60, 8, 20),
    },
    "op_elements": {name: slope(make) for name, make in {
        "gelu": _functional("gelu"), "elu": _functional("elu"), "mish": _functional("mish"), "softplus": _functional("softplus"),
        "glu": _functional("glu"), "PReLU": _layer("PReLU"), "power": lambda torch: lambda x: x.abs() ** 1.5, "erf": _method("erf"),
        "atan2": lambda torch: lambda x: torch.atan2(x, x + 1), "clamp": _method("clamp", -1, 1),
        "where": lambda torch: lambda x: torch.where(x > 0, x, x * 0.1), "masked fill": lambda torch: lambda x: x.masked_fill(x > 0, 0.0),
        "complex product": lambda torch: lambda x: (torch.complex(x, x) * torch.complex(x, -x)).real,
    }.items()},
    "op_reductions": {
        **{name: slope(make) for name, make in {
            "softmax": lambda torch: lambda x: x.softmax(1) ** 2, "logsumexp": _method("logsumexp", 1), "variance": _method("var", 1),
            "deviation": _method("std"), "norm": _method("norm", dim=1), "maximum": lambda torch: lambda x: x.max(1)[0],
            "product": lambda torch: lambda x: (x * 0.01 + 1).prod(1), "cumulated sum": _method("cumsum", 1),
            "cumulated product": lambda torch: lambda x: (x * 0.01 + 1).cumprod(1)}.items()},
        "argmax": value(_method("argmax", 1)),
        "histogram": value(lambda torch: lambda x: torch.histc(x, 50), 100000),
    },
    "op_order": {
        "sort": slope(lambda torch: lambda x: x.sort(1)[0]),
        "sort of 64 × 100": slope(lambda torch: lambda x: x.sort(1)[0], 64, 100),
        "ten largest": slope(lambda torch: lambda x: x.topk(10, 1)[0]),
        "median": slope(lambda torch: lambda x: x.median(1)[0]),
        "ten largest of a million": value(lambda torch: lambda x: x.topk(10)[0], 1000000),
        "unique of 512 labels": lambda torch: (lambda labels: lambda: labels.unique().sum().item())(_labels(torch)),
        "unique of 262,144 labels": lambda torch: (lambda labels: lambda: labels.unique().sum().item())(_labels(torch, 262144)),
        "counts of 512 labels": lambda torch: (lambda labels: lambda: torch.bincount(labels).sum().item())(_labels(torch)),
        "one hot": lambda torch: (lambda labels: lambda: torch.nn.functional.one_hot(labels, 512).sum().item())(_labels(torch)),
        "search in 100,000": lambda torch: (lambda line, x: lambda: torch.searchsorted(line, x).sum().item())(
            torch.randn(100000).sort()[0], torch.randn(512, 512)),
    },
    "op_places": {
        "gather": slope(_gathered), "rows": slope(_rows), "elements": slope(_at_places), "scatter_add": slope(_scattered), "index_add": slope(_added),
        "mask": slope(lambda torch: lambda x: x[x > 0]), "nonzero": value(lambda torch: lambda x: (x > 0).nonzero()),
        "tril": slope(_method("tril")), "cat": slope(lambda torch: lambda x: torch.cat([x, x * 2], 1)),
        "stack": slope(lambda torch: lambda x: torch.stack([x] * 8).sum(0)), "roll": slope(_method("roll", 3, 1)), "flip": slope(_method("flip", 1)),
        "repeat": slope(_method("repeat", 2, 2)), "outer": slope(lambda torch: lambda x: torch.outer(x, x), 500),
        "kron": slope(lambda torch: lambda x: torch.kron(x, x), 20, 20),
    },
    "op_algebra": {
        "32 products of 64²": slope(lambda torch: lambda x: x @ x.transpose(1, 2), 32, 64, 64),
        "the same by einsum": slope(lambda torch: lambda x: torch.einsum("bik,bjk->bij", x, x), 32, 64, 64),
        "distances": slope(lambda torch: lambda x: torch.cdist(x, x), 200, 64),
        "real Fourier transform": slope(lambda torch: lambda x: torch.fft.rfft(x).abs()),
        "inverse": slope(lambda torch: lambda x: torch.linalg.inv(x + 50 * torch.eye(128)), 128, 128),
        "solve": slope(lambda torch: lambda x: torch.linalg.solve(x + 50 * torch.eye(128), torch.ones(128, 1)), 128, 128),
        "singular values": slope(lambda torch: torch.linalg.svdvals, 64, 64),
        "Cholesky": slope(lambda torch: lambda x: torch.linalg.cholesky(_definite(torch, x)), 128, 128),
    },
    "op_random": {
        "100,000 normal numbers": lambda torch: lambda: torch.randn(100000).sum().item(),
        "a million exponential numbers": lambda torch: lambda: torch.empty(1000000).exponential_().sum().item(),
        "100,000 coins": lambda torch: lambda: torch.bernoulli(torch.full((100000,), 0.3)).sum().item(),
        "permutation of 60,000": lambda torch: lambda: torch.randperm(60000).sum().item(),
        "5 of 50, 100 times": lambda torch: lambda: torch.multinomial(torch.rand(100, 50), 5).sum().item(),
    },
}
