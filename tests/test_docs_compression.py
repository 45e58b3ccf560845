"""The page on compression: its programs run, as one, under PyTorch's names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def test_the_programs_of_the_page_run(tmp_path):
    text = (PROJECT / "docs" / "compression.md").read_text(encoding="utf8")
    program = tmp_path / "page.py"
    program.write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.S)), encoding="utf8")
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(program)], capture_output=True, text=True,
                          cwd=tmp_path, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout and "zeros" in done.stdout and "gradient" in done.stdout
    assert {p.name for p in tmp_path.glob("*.png")} == {f"{n}.png"
                                                        for n in ("maps", "weights", "filters", "saliency", "gradcam")}
