"""The examples in PyTorch's own docstrings run here, and print the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
HERE = Path(__file__).parent

# examples that fail: what is missing
MISSING = {
    "torch.Tensor.to_sparse": "block-sparse layouts",
    "torch.Tensor.to_sparse_bsc": "block-sparse layouts",
    "torch.Tensor.to_sparse_bsr": "block-sparse layouts",
    "torch.Tensor.to_sparse_csc": "dense dimensions of compressed tensors",
    "torch.Tensor.to_sparse_csr": "dense dimensions of compressed tensors",
    "torch.Event": "events of accelerators",
    "torch.hash_tensor": "uint64",
    "torch.quantized_batch_norm": "quantized operations outside of modules",
    "torch.quantized_max_pool1d": "quantized operations outside of modules",
    "torch.quantized_max_pool2d": "quantized operations outside of modules",
    "torch.sparse_bsc_tensor": "block-sparse layouts",
    "torch.sparse_bsr_tensor": "block-sparse layouts",
    "torch.narrow_copy": "narrow of sparse tensors",
    "torch.func.functionalize": "torch.fx.experimental",
    "torch.func.rearrange": "rearrange",
    "torch.masked.is_masked_tensor": "MaskedTensor",
}
# examples that print something else: why
OTHERWISE = {
    "torch.Tensor.dim_order": "the messages say more",
    "torch.conj": "conjugates are computed at once",
    "torch.resolve_conj": "conjugates are computed at once",
    "torch.resolve_neg": "negatives are computed at once",
    "torch.sort": "without stable=True PyTorch orders equal elements as it comes; here sorting is stable",
    "torch.sparse.spdiags": "elements come row by row",
    "torch.nn.Unfold": "the last digit of a difference",
    "torch.linalg.tensorsolve": "PyTorch's answer is not close to the right one, as its allclose says",
    "torch.set_flush_denormal": "not supported",
    "torch.vmap": "functions are Python's",
    "torch.nn.CrossEntropyLoss": "manual_seed gives another class of generator",
    "torch.nn.LinearCrossEntropyLoss": "manual_seed gives another class of generator",
    "torch.nn.utils.skip_init": "memory that nothing was written to",
}


NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def plain(text: str) -> str:
    """Without addresses, widths and the package's name."""
    return re.sub(r"0x[0-9a-f]+", "0x", re.sub(r"\s+", "", text)).replace("rushlight", "torch")


def alike(a: str, b: str) -> bool:
    """The same text with the same numbers: four digits, and 0 is 1e-6."""
    a, b = plain(a), plain(b)
    pairs = zip(map(float, NUMBER.findall(a)), map(float, NUMBER.findall(b)))
    return NUMBER.sub("#", a) == NUMBER.sub("#", b) and all(abs(x - y) <= 2e-4 * max(abs(x), 5e-3) for x, y in pairs)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """What PyTorch's statements print, and what becomes of them here."""
    file = tmp_path_factory.mktemp("examples") / "statements.json"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    for what in ("collect", "run"):
        done = subprocess.run([sys.executable, str(HERE / "doc_examples.py"), what, str(file)], env=env, capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(file.read_text()), json.loads(Path(f"{file}.ours").read_text())


def test_examples_run(outcomes) -> None:
    theirs, ours = outcomes
    failed = {}
    for path, statements in theirs.items():
        for (statement, _), error in zip(statements, ours[path][0], strict=True):
            if error is not None:
                failed.setdefault(path, f"{statement.strip()}: {error}")
    unexpected = {path: text for path, text in failed.items() if path not in MISSING}
    assert not unexpected, json.dumps(unexpected, indent=1)
    assert sum(map(len, theirs.values())) > 1500


def test_examples_print_the_same(outcomes) -> None:
    theirs, ours = outcomes
    same, other = 0, {}
    for path, statements in theirs.items():
        for (statement, wanted), found in zip(statements, ours[path][1], strict=True):
            if wanted and found is not None:
                same += alike(wanted, found)
                if not alike(wanted, found):
                    other.setdefault(path, f"{statement.strip()}: PyTorch {plain(wanted)[:200]}, rushlight {plain(found)[:200]}")
    unexpected = {path: text for path, text in other.items() if path not in {**OTHERWISE, **MISSING}}
    assert not unexpected, json.dumps(unexpected, indent=1)
    assert same > 500
