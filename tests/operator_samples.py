"""Samples of PyTorch's operator database as rushlight's tensors,
for the operators that public programs use most (more than 150)."""

from __future__ import annotations

import functools
import operator
import random
import re
import warnings
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import rushlight as rl

# By how many of 95 public repositories use the function, method or module,
# most used first: all that at least five use, and others.
MOST_USED = """
__getitem__ item zeros nn.functional.linear view cat to sum split ones mean float max reshape unsqueeze
nn.functional.conv2d squeeze transpose nn.functional.relu randn arange stack contiguous flatten clone softmax permute
long expand nn.functional.dropout nn.functional.embedding repeat exp zeros_like empty t nn.functional.cross_entropy
argmax norm add log fill pow nn.functional.layer_norm sigmoid randint where zero_ T ones_like log_softmax min clamp
abs bool std nn.functional.max_pool2d uniform matmul tanh linspace any nn.functional.pad eq mul sort all sqrt
nn.functional.mse_loss masked_fill expand_as topk full nn.functional.interpolate normal sin einsum gather
nn.functional.conv_transpose2d allclose cos chunk mode view_as cumsum mm multinomial equal nn.functional.conv1d double
bfloat16 nonzero div isnan eye nn.functional.gelu randn_like bmm scatter flip nn.functional.avg_pool2d int
nn.functional.one_hot empty_like nn.functional.binary_cross_entropy_with_logits full_like nn.functional.nll_loss
nn.functional.scaled_dot_product_attention triu var nn.functional.adaptive_avg_pool2d unique tril dot new_zeros unbind
repeat_interleave nn.functional.silu argsort rsqrt prod index_select half sub ravel median nn.functional.normalize
round meshgrid rand_like narrow maximum sign isfinite nn.functional.softplus nn.functional.dropout2d square diag
unfold put isclose outer real floor gt nn.functional.leaky_relu select trace lt linalg.norm isinf bernoulli argmin
view_as_real cdist ne nn.functional.group_norm log1p nn.functional.binary_cross_entropy nn.functional.logsigmoid
diagonal new_ones new_empty logsumexp byte scatter_add nn.functional.elu bincount linalg.solve nn.functional.l1_loss
vstack nn.functional.cosine_similarity ge masked_select nn.functional.conv3d ceil minimum logical_and nan_to_num
linalg.qr view_as_complex searchsorted neg amax imag nn.functional.grid_sample linalg.svd resize_ nn.functional.kl_div
unflatten index_add nn.functional.pixel_shuffle nn.functional.batch_norm tile nn.functional.prelu log2 new_full
linalg.inv le amin movedim remainder linalg.eigh fmod roll nn.functional.smooth_l1_loss bucketize linalg.vector_norm
polar dist addmm addcmul atan2 mT clamp_min log10 diff reshape_as take logical_or linalg.det isin erf logical_not
floor_divide hstack broadcast_to fft.fft nn.functional.relu6 addcdiv tan complex broadcast_tensors expm1
nn.functional.max_pool1d std_mean cumprod linalg.pinv sinh logaddexp logdet bitwise_and count_nonzero
nn.functional.hardtanh nn.functional.unfold quantile tensor_split trapezoid mv linalg.eig
nn.functional.adaptive_max_pool2d nn.functional.selu randint_like linalg.cholesky broadcast_shapes reciprocal
linalg.solve_triangular to_sparse acos diag_embed linalg.cross index_put nn.functional.embedding_bag
nn.functional.conv_transpose1d nn.functional.glu cosh H bitwise_xor block_diag linalg.eigvalsh nn.functional.rms_norm
conj kthvalue tensordot bitwise_not fft.rfft nn.functional.avg_pool3d kron nn.functional.multi_head_attention_forward
stft nn.functional.instance_norm linalg.diagonal nn.functional.upsample_nearest
""".split()
# operators that neither derivatives nor vmap can be tried on -> why
LEFT_OUT = {
    "item": "gives a Python number", "allclose": "gives a Python bool",
    "equal": "gives a Python bool", "to_sparse": "gives another layout",
    **dict.fromkeys("zeros ones randn arange empty randint linspace full eye broadcast_shapes".split(),
                    "takes no tensor"),
    **dict.fromkeys("empty_like new_empty resize_".split(), "uninitialised memory"),
}
LARGEST = 1200  # elements of one sample: derivatives need no large numbers


@functools.cache
def entries() -> dict[str, Any]:
    """The database's entries of the operators above, by name and variant."""
    wanted = set(MOST_USED) - LEFT_OUT.keys()
    return {f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db if op.name in wanted}


# entries whose samples have no counterpart here, or no tensors -> why
OUTSIDE = {
    **dict.fromkeys("logspace linspace scalar_tensor tril_indices triu_indices".split(), "takes no tensor"),
    **dict.fromkeys("empty_strided empty_permuted new_empty_strided resize_as_".split(), "uninitialised memory"),
    "nn.functional.triplet_margin_with_distance_loss": "its samples hold functions of PyTorch",
    **dict.fromkeys(("nn.functional.ctc_loss", "slice_scatter"), "all of its samples are large"),
}
# PyTorch's own: private kernels, code generators, other layouts, other machines
PRIVATE = re.compile(r"_|torch\.|jiterator|sparse\.|to_sparse|native_dropout|svd_lowrank|pca_lowrank|chalf|hash_tensor|bmm\.triton|max_pool2d_with_indices_backward|"
                     r"nn\.functional\.(linear_cross_entropy|fractional|feature_alpha|alpha_|rrelu|dropout3d)|signal\.windows|slice$|as_strided\.partial|"
                     r"cauchy|exponential|geometric|log_normal|.*_like|randn|normal")


@functools.cache
def others() -> dict[str, Any]:
    """The database's other public entries."""
    found = {f"{op.name}.{op.variant_test_name}".rstrip("."): op for op in op_db}
    return {n: op for n, op in found.items() if n not in entries()
            and not (OUTSIDE.keys() | LEFT_OUT.keys()) & {n, op.name} and (not PRIVATE.match(n) or n.startswith("__r"))}


def names() -> list[str]:
    """Their names, in the order of use."""
    order = {name: i for i, name in enumerate(MOST_USED)}
    return sorted(entries(), key=lambda name: order[entries()[name].name])


def here(x: Any, memo: dict[int, Any]) -> Any:
    """PyTorch's values as rushlight's; one tensor stays one tensor."""
    if isinstance(x, torch.Tensor):
        if id(x) not in memo:
            memo[id(x)] = rl.tensor(x.detach().resolve_conj().resolve_neg().numpy().copy()).requires_grad_(x.requires_grad)
        return memo[id(x)]
    if isinstance(x, (torch.dtype, torch.memory_format, torch.layout)):
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
    if name.startswith("__r"):
        meant = name[3:-2]
        return lambda x, y: getattr(operator, {"div": "truediv", "and": "and_", "or": "or_"}.get(meant, meant))(y, x)
    if name == "polygamma" or name == "special.polygamma":
        return lambda x, n: resolve(name)(n, x)
    if op.variant_test_name == "grad_oriented":
        return lambda x, y, driver: rl.linalg.lstsq(x, y, driver=driver)[:2]
    if name == "einsum":
        return lambda tensors, equation: rl.einsum(equation, *tensors)
    if name == "where":
        return lambda x, condition, other: rl.where(condition, x, other)
    if name == "nn.functional.embedding":
        return lambda weight, index, **k: rl.nn.functional.embedding(index, weight, **k)
    if name == "linalg.pinv" and op.variant_test_name == "singular":
        return lambda x, y: rl.linalg.pinv(x @ y.mT)
    if name in ("T", "mT", "H", "mH"):
        return lambda x: getattr(x, name)
    if name.endswith("_"):
        return lambda x, *a, **k: getattr(x.clone(), name)(*a, **k)
    if name in ("uniform", "normal") and op.variant_test_name in ("", "in_place") and not (
            name == "normal" and op.variant_test_name == ""):
        return lambda x, *a, **k: getattr(x.clone(), name + "_")(*a, **k)
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


def dtype_of(op: Any) -> torch.dtype:
    """float64; complex128 for operators of complex numbers, int64 for those of integers."""
    return next((d for d in (torch.float64, torch.complex128, torch.int64)
                 if d in op.supported_dtypes("cpu")), torch.float64)


def samples(op: Any, most: int) -> list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]]:
    """(function, arguments, keyword arguments, what turns the result into
    something differentiable), spread over the entry's.

    Not among them: samples with empty tensors, and those with more than LARGEST numbers.
    """
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    found = []
    dtype = dtype_of(op)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for s in op.sample_inputs("cpu", dtype, requires_grad=op.supports_autograd and dtype is not torch.int64):
            sizes = [t.numel() for t in tensors_of_torch((s.input, s.args, s.kwargs))]
            if sum(sizes) > LARGEST or not sizes or min(sizes) == 0:
                continue
            args, kwargs = here(((s.input, *s.args), s.kwargs), {})
            found.append((function(op), args, kwargs, s.output_process_fn_grad))
    step = max(1, len(found) // most)
    return found[::step][:most]


def tensors_of_torch(x: Any) -> list[torch.Tensor]:
    if isinstance(x, torch.Tensor):
        return [x]
    return ([t for v in (x.values() if isinstance(x, dict) else x) for t in tensors_of_torch(v)]
            if isinstance(x, (list, tuple, dict)) else [])


def with_tensors(nest: Any, new: dict[int, Any]) -> Any:
    """The nest with tensors replaced by identity."""
    if isinstance(nest, rl.Tensor):
        return new.get(id(nest), nest)
    if isinstance(nest, (list, tuple)) and not hasattr(nest, "_fields"):
        return type(nest)(with_tensors(v, new) for v in nest)
    if isinstance(nest, dict):
        return {k: with_tensors(v, new) for k, v in nest.items()}
    return nest
