"""Samples of PyTorch's operator database as rushlight's tensors, for the 150 operators that public programs use most."""

from __future__ import annotations

import functools
import operator
import random
import warnings
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import rushlight as rl

# By how many of 95 public repositories use the function, method or module, most used first.
MOST_USED = """
__getitem__ add div mul sub nn.functional.linear view cat split sum to mean float max reshape unsqueeze
nn.functional.conv2d squeeze nn.functional.relu transpose contiguous flatten stack clone softmax permute expand
nn.functional.embedding exp repeat nn.functional.cross_entropy t linalg.norm log norm fill nn.functional.layer_norm pow
sigmoid where zero_ T log_softmax min abs clamp std nn.functional.max_pool2d matmul nn.functional.batch_norm tanh
nn.functional.pad sort expand_as masked_fill nn.functional.mse_loss sqrt topk nn.functional.interpolate einsum gather
nn.functional.conv_transpose2d sin chunk cos cumsum mm mode view_as double nn.functional.conv1d bmm nn.functional.gelu
scatter flip nn.functional.avg_pool2d nn.functional.leaky_relu nn.functional.binary_cross_entropy_with_logits dot
nn.functional.adaptive_avg_pool2d nn.functional.nll_loss nn.functional.scaled_dot_product_attention tril triu var
nn.functional.silu prod repeat_interleave rsqrt unbind index_select ravel maximum median meshgrid narrow
nn.functional.normalize round sign diag nn.functional.softplus nn.functional.unfold outer put square unfold floor real
select cdist trace log1p nn.functional.binary_cross_entropy nn.functional.group_norm nn.functional.logsigmoid diagonal
linalg.diagonal linalg.solve logsumexp nn.functional.cosine_similarity nn.functional.elu nn.functional.l1_loss
nn.functional.upsample_nearest scatter_add vstack ceil linalg.qr masked_select minimum nan_to_num nn.functional.conv3d
view_as_complex amax index_add linalg.svd log2 neg nn.functional.grid_sample nn.functional.kl_div
nn.functional.pixel_shuffle nn.functional.prelu tile unflatten addmm amin dist fmod linalg.eigh linalg.inv
linalg.vector_norm movedim nn.functional.smooth_l1_loss polar remainder roll addcmul atan2 broadcast_to clamp_min diff
erf fft.fft hstack linalg.det log10 mT nn.functional.instance_norm nn.functional.relu6 reshape_as take addcdiv
broadcast_tensors complex cumprod expm1 linalg.pinv logaddexp logdet mv nn.functional.hardtanh nn.functional.max_pool1d
nn.functional.selu quantile sinh tan tensor_split
""".split()
LARGEST = 1200  # elements of one sample: derivatives need no large numbers


@functools.cache
def entries() -> dict[str, Any]:
    """The database's entries of the operators above, by name and variant."""
    wanted = set(MOST_USED)
    return {f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db if op.name in wanted}


def names() -> list[str]:
    """Their names, in the order of use."""
    order = {name: i for i, name in enumerate(MOST_USED)}
    return sorted(entries(), key=lambda name: order[entries()[name].name])


class Unlike(Exception):
    """A sample that has no counterpart here (another layout)."""


def here(x: Any, memo: dict[int, Any]) -> Any:
    """PyTorch's values as rushlight's; one tensor stays one tensor."""
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided:
            raise Unlike
        if id(x) not in memo:
            memo[id(x)] = rl.tensor(x.detach().resolve_conj().resolve_neg().numpy().copy()).requires_grad_(x.requires_grad)
        return memo[id(x)]
    if isinstance(x, (torch.dtype, torch.memory_format)):
        return getattr(rl, str(x).split(".")[1])
    if isinstance(x, torch.device):
        return rl.device(str(x))
    if isinstance(x, slice):
        return slice(*(here(v, memo) for v in (x.start, x.stop, x.step)))
    if isinstance(x, (list, tuple)):
        return type(x)(here(v, memo) for v in x) if not hasattr(x, "_fields") else type(x)(*(here(v, memo) for v in x))
    if isinstance(x, dict):
        return {k: here(v, memo) for k, v in x.items()}
    return x


def resolve(dotted: str) -> Any:
    return functools.reduce(getattr, dotted.split("."), rl)


def function(op: Any) -> Any:
    """rushlight's function of an entry."""
    name = op.name
    if name == "__getitem__":
        return operator.getitem
    if name == "einsum":
        return lambda tensors, equation: rl.einsum(equation, *tensors)
    if name == "where":
        return lambda x, condition, other: rl.where(condition, x, other)
    if name == "nn.functional.embedding":
        return lambda weight, index, **k: rl.nn.functional.embedding(index, weight, **k)
    if name == "linalg.pinv" and op.variant_test_name == "singular":
        return lambda x, y: rl.linalg.pinv(x @ y.mT)
    if name in ("T", "mT"):
        return lambda x: getattr(x, name)
    if name.endswith("_"):
        return lambda x, *a, **k: getattr(x.clone(), name)(*a, **k)
    if "." in name or (hasattr(rl, name) and not isinstance(getattr(rl, name), rl.dtype)):
        return resolve(name)
    return lambda x, *a, **k: getattr(x, name)(*a, **k)


def in_domain(op: Any, x: rl.Tensor) -> rl.Tensor:
    """Matrices are made Hermitian for entries that want them so: differences in one element would leave the domain."""
    wrapper = getattr(op.gradcheck_wrapper, "__name__", "")
    return (x + x.mH) / 2 if wrapper == "gradcheck_wrapper_hermitian_input" and x.ndim >= 2 else x


def tensors_in(x: Any) -> list[rl.Tensor]:
    """The tensors of a nest, each once."""
    found: dict[int, rl.Tensor] = {}

    def look(v: Any) -> None:
        if isinstance(v, rl.Tensor):
            found.setdefault(id(v), v)
        elif isinstance(v, (list, tuple)):
            for w in v:
                look(w)
        elif isinstance(v, dict):
            for w in v.values():
                look(w)
    look(x)
    return list(found.values())


def samples(op: Any, most: int, grad: bool = True) -> list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]]:
    """(function, arguments, keyword arguments, what turns the result into something differentiable), spread over the entry's."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for s in op.sample_inputs("cpu", torch.float64, requires_grad=grad):
            sizes = [t.numel() for t in tensors_of_torch((s.input, s.args, s.kwargs))]
            if sum(sizes) > LARGEST or not sizes or min(sizes) == 0:
                continue
            try:
                args, kwargs = here(((s.input, *s.args), s.kwargs), {})
            except Unlike:
                continue
            found.append((function(op), args, kwargs, s.output_process_fn_grad))
    step = max(1, len(found) // most)
    return found[::step][:most]


def tensors_of_torch(x: Any) -> list[torch.Tensor]:
    if isinstance(x, torch.Tensor):
        return [x]
    return [t for v in (x.values() if isinstance(x, dict) else x) for t in tensors_of_torch(v)] if isinstance(x, (list, tuple, dict)) else []


def with_tensors(nest: Any, new: dict[int, Any]) -> Any:
    """The nest with tensors replaced by identity."""
    if isinstance(nest, rl.Tensor):
        return new.get(id(nest), nest)
    if isinstance(nest, (list, tuple)) and not hasattr(nest, "_fields"):
        return type(nest)(with_tensors(v, new) for v in nest)
    if isinstance(nest, dict):
        return {k: with_tensors(v, new) for k, v in nest.items()}
    return nest
