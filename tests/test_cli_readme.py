"""The README tells the truth: its example prints what it says, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf8")


def test_the_example_prints_what_stands_there() -> None:
    found = re.search(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    program, printed = found.groups()
    assert len(re.findall(r"^(?!import|from)\s*\S.*", program, re.MULTILINE)) <= 10, "an example of ten lines"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout == printed, done.stderr


def test_two_commands_set_it_up() -> None:
    part = TEXT.split("## Set-up")[1].split("\n## ")[0]
    assert re.findall(r"^    (\S.*)$", part, re.MULTILINE) == ["pip install . && rushlight demo",
                                                               "pip install '.[test]' && pytest"]
    assert "test" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_every_figure_has_its_command() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")]
    assert rows[0] == ["what", "command", "result"] and len(rows) >= 8
    for what, command, result in rows:
        if command in ("command", "---"):
            continue  # a table's head
        assert re.search(r"`[^`]+`", command), what
        assert result, what
        for file in re.findall(r"(?:benchmarks|examples|tests)/\w+\.py", command):
            assert (ROOT / file).is_file(), file


def test_files_that_are_named_exist() -> None:
    for name in re.findall(r"`((?:docs|examples|benchmarks)/[\w./]+)`", TEXT):
        assert (ROOT / name).exists(), name
