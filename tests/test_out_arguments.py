"""`out=` of every operator of PyTorch's database that has it: the result lands there,
is returned, and other dtypes are refused alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
opinfo = pytest.importorskip("torch.testing._internal.common_methods_invocations")
SPACES = ("linalg", "fft", "special")
RANDOM = frozenset(("normal", "bernoulli", "multinomial", "randn", "rand", "randint",
                    "empty", "empty_permuted", "empty_strided"))
# what the database calls in a way of its own, or PyTorch keeps to itself
ELSEWHERE = frozenset(("polygamma", "where", "einsum", "lu", "nansum", "native_batch_norm", "hash_tensor",
                       "triangular_solve", "geqrf", "equal", "histogramdd", "special.polygamma"))


def home(lib: Any, name: str) -> Any:
    *path, last = name.split(".")
    if path and path[0] not in SPACES or name in RANDOM | ELSEWHERE or name.startswith("_"):
        return None
    for p in path:
        lib = getattr(lib, p)
    return getattr(lib, last, None)


def with_out() -> list[Any]:
    found = {}
    for op in opinfo.op_db:
        if op.supports_out and torch.float32 in op.supported_dtypes("cpu") and home(torch, op.name) and home(
                rl, op.name):
            found.setdefault(op.name, op)
    return list(found.values())


OPERATORS = with_out()


def ours(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return rl.tensor(value.numpy().copy())
    if isinstance(value, (list, tuple)):
        return type(value)(ours(v) for v in value)
    if isinstance(value, torch.dtype):
        return getattr(rl, str(value).removeprefix("torch."))
    return str(value) if isinstance(value, torch.device) else value


def places(lib: Any, want: Any, dtype: str | None = None) -> Any:
    def one(w: Any) -> Any:
        return lib.empty(tuple(w.shape), dtype=getattr(lib, dtype or str(w.dtype).removeprefix("torch.")))
    return tuple(one(w) for w in want) if isinstance(want, (tuple, list)) else one(want)


def test_there_are_enough() -> None:
    assert len(OPERATORS) > 250


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
@pytest.mark.filterwarnings("ignore")
def test_out(op: Any) -> None:
    torch.manual_seed(0)
    f, g = home(torch, op.name), home(rl, op.name)
    s = next(s for s in op.sample_inputs("cpu", torch.float32) if "out" not in s.kwargs)
    args = (s.input, *s.args)
    want = f(*args, **s.kwargs)
    mine = tuple(ours(a) for a in args), {k: ours(v) for k, v in s.kwargs.items()}
    out = places(rl, want)
    got = g(*mine[0], **mine[1], out=out)
    pairs = [(out, want)] if isinstance(want, torch.Tensor) else list(zip(out, want))
    if isinstance(want, torch.Tensor):
        assert got is out
    for o, w in pairs:
        assert tuple(o.shape) == tuple(w.shape)
        up_to_sign = np.abs if op.name.endswith(("eig", "eigh", "svd", "qr")) else (lambda v: v)
        np.testing.assert_allclose(up_to_sign(o.numpy()), up_to_sign(w.resolve_conj().numpy()), rtol=1e-3, atol=1e-4)
    if isinstance(want, torch.Tensor) and want.dtype.is_floating_point:
        refused = []
        for call, lib, (a, k) in ((f, torch, (args, s.kwargs)), (g, rl, mine)):
            try:
                call(*a, **k, out=places(lib, want, "int32"))
                refused.append(False)
            except (RuntimeError, TypeError):
                refused.append(True)
        assert refused[0] == refused[1]


def test_out_is_resized_with_a_gradient_refused() -> None:
    for lib in (torch, rl):
        o = lib.empty(0)
        lib.add(lib.ones(2, 3), 1, out=o)
        assert tuple(o.shape) == (2, 3)
        with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
            lib.add(lib.ones(2, requires_grad=True), 1, out=lib.empty(2))
