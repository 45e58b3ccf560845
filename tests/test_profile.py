"""rushlight.profile and rushlight.explain(to=…): what the native plans look like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from executors import only

import rushlight as rl
from rushlight import nn
from rushlight.exec.cpu import executor

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")


def model() -> tuple[nn.Module, rl.Tensor]:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(72, 20), nn.LayerNorm(20)), rl.randn(4, 3, 8, 8)


def test_every_kernel_of_a_step_is_timed(tmp_path: Path) -> None:
    with only("cpu"):
        net, x = model()
        plain = net(x).square().sum().item()
        with rl.profile() as p:
            for _ in range(3):
                assert net(x).square().sum().item() == plain
        assert p.events and all(e.duration > 0 for e in p.events)
        rows = p.rows()
        assert sum(row[3] for row in rows) == pytest.approx(1)
        assert any("oneDNN" in title and calls == 3 for title, calls, *_ in rows)
        assert any("row" in title for title, *_ in rows)
        assert "GFLOP/s" in str(p) and len(str(p).splitlines()) == len(rows) + 1
        p.export_chrome_trace(tmp_path / "trace.json")
        assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) == len(p.events)
    with rl.profile() as p, pytest.raises(RuntimeError, match="do not nest"), rl.profile():
        pass


@pytest.mark.parametrize(("to", "word"),
                         [("kernel", "for unit in parallel"), ("llvm", "define i64"), ("asm", "kernel:")])
def test_explain_shows_the_native_plan(to: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    net, x = model()
    rl.explain(lambda: net(x).softmax(1), to=to)
    shown = capsys.readouterr().out
    assert word in shown and "# step 0" in shown and "oneDNN" in shown


def test_explain_refuses_other_forms() -> None:
    with pytest.raises(ValueError, match="plan, kernel, llvm or asm"):
        rl.explain(lambda: rl.ones(2) + 1, to="wasm")
