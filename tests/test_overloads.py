"""Every overload that PyTorch's own argument parser lists can be called in the same way here."""

import inspect
import re

import pytest

import rushlight as rl

torch = pytest.importorskip("torch")

SPACES = ("", "linalg", "special", "nn.functional", "Tensor")
# what is not here at all: kernels of other libraries and devices, block-sparse tensors
ABSENT = frozenset("""dsmm fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation
    fbgemm_pack_quantized_matrix miopen_ctc_loss native_norm sparse_bsc_tensor sparse_bsr_tensor""".split())
COPIES = frozenset(("squeeze_copy",))  # shows the signature of what it copies


class Nothing:
    """No function takes this, so PyTorch's parser says what it would take."""


def found(module, path):
    for name in filter(None, path.split(".")):
        module = getattr(module, name)
    return module


def overloads(f, *first):
    """The signatures that the parser lists, as text."""
    try:
        f(*first, *[Nothing()] * 8)
    except TypeError as e:
        return re.findall(r"^ \* \((.*)\)$", str(e), re.MULTILINE)
    except Exception:  # noqa: BLE001 - whatever it says, it is no list
        return []
    return []


def call(signature):
    """(positional, keyword) parameters of a signature as text."""
    places: tuple[list[str], list[str]] = ([], [])
    keyword = False
    for part in re.split(r", (?![^{\[]*[}\]])", signature) if signature else []:
        keyword = keyword or part == "*"
        if part != "*":
            places[keyword].append(re.fullmatch(r".*? (\w+)(?: = .*)?", part)[1])
    return places


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s or "torch")
def test_overloads_bind(space):
    theirs, ours = found(torch, space), found(rl, space)
    method = space == "Tensor"
    first = (torch.ones(2, 2),) if method else ()
    seen, wrong = 0, []
    for name in dir(theirs):
        f = getattr(theirs, name)
        if name.startswith("_") or not callable(f) or isinstance(f, type) or name in ABSENT | COPIES:
            continue
        for signature in overloads(f, *first):
            g = getattr(ours, name, None)
            if g is None:
                wrong.append(f"{name} is missing")
                continue
            positional, keywords = call(signature)
            seen += 1
            try:
                inspect.signature(g).bind(*first, *[None] * len(positional), **dict.fromkeys(keywords))
            except TypeError as e:
                wrong.append(f"{name}({signature}): {e}")
    assert not wrong
    assert seen > {"": 200, "Tensor": 100, "linalg": 10, "special": 30}.get(space, 0)


BEHAVE = {
    "pinv(A, rcond)": lambda L, x: L.linalg.pinv(x, 0.2),
    "pinv(A, rcond, hermitian)": lambda L, x: L.linalg.pinv(x @ x.t(), 1e-3, True),
    "rsub(input, other, alpha)": lambda L, x: L.rsub(x, 2, 3),
    "histogramdd(input, bins, range)": lambda L, x: L.histogramdd(x, [2, 2], [0.0, 4.0, 0.0, 4.0])[0],
    "argsort(out=)": lambda L, x: L.argsort(x, stable=True, out=L.empty(0, dtype=L.int64)),
    "view(size=)": lambda L, x: x.view(size=(4,)),
    "to_sparse(sparse_dim=)": lambda L, x: x.to_sparse(sparse_dim=1).to_dense(),
    "sparse_csr_tensor(layout=)": lambda L, x: L.sparse_csr_tensor([0, 1, 2], [0, 1], [1.0, 2.0],
                                                                  layout=L.sparse_csr).to_dense(),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", BEHAVE)
def test_overloads_compute_the_same(name):
    theirs, ours = (BEHAVE[name](lib, lib.tensor([[3.0, 1.0], [0.5, 2.0]])) for lib in (torch, rl))
    assert ours.shape == theirs.shape and str(ours.dtype) == str(theirs.dtype)
    assert torch.allclose(torch.from_numpy(ours.numpy()), theirs)


@pytest.mark.parametrize("half", (rl.bfloat16, rl.float16))
def test_products_in_out_dtype_are_not_rounded_to_half(half):
    """PyTorch has this on GPUs only; what it means is the product of the exact factors in float32."""
    x, y = rl.rand(3, 40).to(half), rl.rand(40, 5).to(half)
    exact = x.float() @ y.float()
    for found in (rl.mm(x, y, rl.float32), rl.bmm(x[None], y[None], rl.float32)[0],
                  rl.addmm(rl.zeros(3, 5), x, y, rl.float32),
                  rl.baddbmm(rl.zeros(1, 3, 5), x[None], y[None], rl.float32)[0]):
        assert found.dtype is rl.float32 and rl.equal(found, exact)
    assert not rl.equal(rl.mm(x, y).float(), exact)
    assert rl.mm(x, y, half).dtype is half
    with pytest.raises(RuntimeError, match="out_dtype must be the same as input dtype or fp32"):
        rl.mm(x, y, rl.float64)


def test_dense_dimensions_of_compressed_tensors_are_refused():
    with pytest.raises(NotImplementedError, match="dense_dim=1 is not supported"):
        rl.ones(2, 2, 2).to_sparse(layout=rl.sparse_csr, dense_dim=1)
