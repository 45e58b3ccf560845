"""The command line, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def rushlight(*args: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from rushlight_cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120)


def test_help_does_not_import_the_framework() -> None:
    code = ("import sys\nfrom rushlight_cli import parser\nparser().format_help()\nprint([m for m in ('numpy', "
            "'rushlight') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert out.stdout.strip() == "[]", out.stderr


def test_run_gives_pytorch_names_and_hides_frames(tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("import sys, torch\nimport torch.nn as nn\nfrom torch.utils.data import "
                      "DataLoader\nprint(sys.argv[1:], torch.tensor([1]), nn.Linear(2, "
                      "1))\nnn.Linear(2, 1)(torch.zeros(3, 5))\n")
    out = rushlight("run", str(script), "a", "--b")
    assert out.returncode == 1
    assert "['a', '--b'] tensor([1]) Linear(in_features=2, out_features=1, bias=True)" in out.stdout
    assert "mat1 and mat2 shapes cannot be multiplied" in out.stderr and "s.py" in out.stderr
    assert "frames inside rushlight are hidden" in out.stderr and "core.py" not in out.stderr


def test_run_names_what_is_missing() -> None:
    out = rushlight("run", "-c", "import torch.no_such_thing")
    assert out.returncode == 1 and "torch.no_such_thing" in out.stderr and "rushlight does not provide it" in out.stderr
