"""`rushlight demo`: what it learns, writes and prints, and how it reads pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from rushlight.cli.demo import Result
from rushlight.cli.picture import SIZE, draw
from rushlight.cli.scan import as_scan
from rushlight.vision.datasets import Digits

MAIN = "import sys; from rushlight_cli import main; sys.exit(main())"
GOOD = 0.9  # least share of pictures that the demo's network reads, of other forms than its own scans


def rushlight(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", MAIN, *args], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run; its output in out.txt and err.txt."""
    folder = tmp_path_factory.mktemp("demo")
    ran = rushlight("demo", "--folder", str(folder))
    assert ran.returncode == 0, ran.stderr
    (folder / "out.txt").write_text(ran.stdout)
    (folder / "err.txt").write_text(ran.stderr)
    return folder


def network_reads(home: Path, scans: list[np.ndarray]) -> list[int]:
    import rushlight as rl
    from rushlight.cli.demo import CHECKPOINT, network
    model = network()
    model.load_state_dict(rl.load(home / CHECKPOINT)["model"])
    model.eval()
    with rl.no_grad():
        answers: list[int] = model(rl.from_numpy(np.stack(scans)[:, None])).argmax(1).tolist()
    return answers


def test_it_reaches_97_percent_and_prints_plain_lines(home: Path) -> None:
    out, err = (home / "out.txt").read_text(), (home / "err.txt").read_text()
    assert float(out.split("Test accuracy ")[1].split("%")[0]) >= 97
    rows = [line.split() for line in out.splitlines()]
    shown = {row[0]: int(row[1]) for row in rows if len(row) > 3 and (row[0].isdigit() or row[0] == "all")}
    assert shown == {**{str(d): int((Digits(False).targets == d).sum().item()) for d in range(10)}, "all": 360}
    assert "\x1b" not in out + err  # no colours, no bar: neither is a terminal
    assert [line.split()[0] for line in err.splitlines()] == ["Training"] * 4


def test_the_picture_is_drawn(home: Path) -> None:
    with Image.open(home / "rushlight-demo.png") as picture:
        assert picture.size == SIZE
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100


@pytest.mark.parametrize("right", [False, True])
def test_the_picture_of_any_result(right: bool) -> None:
    truth = np.arange(40) % 10
    guess = truth if right else (truth + 1) % 10
    images = np.random.default_rng(0).random((40, 8, 8), np.float32)
    for losses in ([], [2.0], [2.0, float("nan"), float("inf"), 0.0]):
        assert draw(Result(losses, images, truth, guess, 0.0)).size == SIZE


def test_it_reads_pictures_of_digits(home: Path, tmp_path: Path) -> None:
    test = Digits(False)
    file, scans = tmp_path / "digit.png", []
    for i in range(100):
        image, _ = test[i]
        size = (90, 120) if i % 2 else (64, 64)  # as an enlarged scan, and drawn on a larger sheet, dark on light
        sheet = Image.new("L", size, 255 if i % 2 else 0)
        large = image.resize((64, 64), Image.Resampling.NEAREST)
        sheet.paste(large.point(lambda v: 255 - v) if i % 2 else large, (10, 30) if i % 2 else (0, 0))
        sheet.save(file)
        scans.append(as_scan(file))
    right = np.array(network_reads(home, scans)) == test.targets[:100].numpy()
    assert right.mean() >= GOOD


def test_it_reads_print(home: Path, tmp_path: Path) -> None:
    scans = []
    for digit in range(10):
        page = Image.new("RGBA", (200, 300), (0, 0, 0, 0))  # transparent: white paper
        ImageDraw.Draw(page).text((40, 20), str(digit), (20, 20, 90), ImageFont.load_default(200))
        page.save(tmp_path / f"{digit}.png")
        scans.append(as_scan(tmp_path / f"{digit}.png"))
    assert (np.array(network_reads(home, scans)) == np.arange(10)).sum() >= 8
    said = rushlight("demo", "--folder", str(home), "--predict", str(tmp_path / "3.png"))
    assert said.returncode == 0 and "this is a 3 (" in said.stdout, said.stderr


@pytest.mark.parametrize("name, says", [
    ("missing.png", "No such file"), ("out.txt", "cannot identify image file"), ("blank.png", "nothing stands out")])
def test_what_is_no_picture_of_a_digit(home: Path, name: str, says: str) -> None:
    Image.new("L", (20, 20), 200).save(home / "blank.png")
    said = rushlight("demo", "--folder", str(home), "--predict", str(home / name))
    assert said.returncode == 2 and not said.stdout
    assert says in said.stderr and name in said.stderr and "Traceback" not in said.stderr


@pytest.mark.parametrize("content", [None, b"", b"hello", b"state"])
def test_a_checkpoint_of_something_else(home: Path, tmp_path: Path, content: bytes | None) -> None:
    import rushlight as rl
    file = tmp_path / "rushlight-demo.pt"
    if content == b"state":
        rl.save({"model": {"a": rl.zeros(2)}}, file)
    elif content is not None:
        file.write_bytes(content)
    said = rushlight("demo", "--folder", str(tmp_path), "--predict", str(home / "rushlight-demo.png"))
    assert said.returncode == 2 and str(file) in said.stderr and "Traceback" not in said.stderr
    assert ("`rushlight demo` writes it" in said.stderr) == (content is None)
