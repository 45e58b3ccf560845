"""The examples on pictures, short: they learn, and draw what they say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import realdata
from example_scripts import SAME_BITS, run


def numbers(pattern: str, text: str) -> list[float]:
    found = [float(x) for x in re.findall(pattern, text)]
    assert found, text
    return found


def tiles(path: Path, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 28, 28) from 0 to 1 of a picture that save_image drew, three times as large."""
    pixels = np.asarray(Image.open(path))[:, :, 0] / 255
    assert pixels.shape == (86 * rows + 2, 86 * columns + 2)
    large = np.stack([np.stack([pixels[86 * i + 2:86 * i + 86, 86 * j + 2:86 * j + 86] for j in range(columns)])
                      for i in range(rows)])
    small = large[..., ::3, ::3]
    assert np.array_equal(large, small.repeat(3, -1).repeat(3, -2))
    return small


def test_autoencoder(tmp_path: Path) -> None:
    root = realdata.path("FashionMNIST").parent
    out = run("autoencoder.py", tmp_path, "--root", root, "--epochs", 3, "--images", 6000)
    ratios = numbers(r"([\d.]+) dB", out)
    assert 9 < ratios[0] < 11 and ratios[1] < ratios[-1] > 15
    assert numbers(r"codes: ([\d.]+)%", out)[0] > 65
    real, dirty, clean = tiles(tmp_path / "autoencoder.png", 3, 10)
    assert np.square(clean - real).mean() < 0.5 * np.square(dirty - real).mean()
    assert np.square(clean - real).mean() < 0.5 * np.square(clean - np.roll(real, 1, 0)).mean()


def test_dcgan(tmp_path: Path) -> None:
    root = realdata.path("MNIST").parent
    out = run("dcgan.py", tmp_path, "--root", root, "--epochs", 2, "--images", 4000, "--batch", 32)
    sure, score = numbers(r"sure ([\d.]+)%", out), numbers(r"inception score ([\d.]+)", out)
    assert sure[0] > 95 and score[0] > 9  # real pictures
    assert score[-1] > 2.5 and all(0 < x < 5 for x in numbers(r"(?:generator|discriminator) ([\d.]+)", out))
    first, last = (tiles(tmp_path / "dcgan" / f"epoch{i}.png", 8, 8) for i in (1, 2))
    assert not np.array_equal(first, last)
    assert 0.05 < last.mean() < 0.25 and last[:, :, 8:20, 8:20].mean() > 4 * last[:, :, :3].mean()  # ink, in the middle
    assert np.std(last.reshape(64, -1), axis=0).mean() > 0.1  # not one picture 64 times


def test_transfer(tmp_path: Path) -> None:
    """A body that was trained and may move serves new classes better than one that was not, or may not. Between its two
    ways no order is asked: the point that stages are expected to bring is less than what draws of the pictures differ
    by (README). What a stage guarantees is in test_finetune.py. With other last bits, from another implementation of a
    convolution, the ways move by up to two points."""
    out = run("transfer.py", tmp_path, "--root", realdata.path("FashionMNIST").parent,
              "--images", 1000, "--rounds", 8, "--rates", 0.003, settings=SAME_BITS)
    assert numbers(r"known classes.*: ([\d.]+)%", out)[0] > 90
    scratch, head, once, stages = numbers(r": +([\d.]+)% ±", out)
    assert min(once, stages) > max(head, scratch) + 1
    assert head > 70  # frozen features serve classes they were not trained on


def test_transfer_chooses_the_rate(tmp_path: Path) -> None:
    """Of a sensible learning rate and one that learns nothing, every way takes the first."""
    out = run("transfer.py", tmp_path, "--root", realdata.path("FashionMNIST").parent, "--images", 100, "--rounds", 2,
              "--rates", 1e-7, 0.003, "--draws", 1)
    assert numbers(r"\) at ([\d.e-]+)", out) == [0.003] * 4


def test_imbalance(tmp_path: Path) -> None:
    pytest.importorskip("imblearn")
    root = realdata.path("FashionMNIST").parent
    out = run("imbalance.py", tmp_path, "--root", root, "--largest", 800, "--smallest", 10, "--steps", 150)
    rows = {name.strip(): [float(x) for x in re.findall(r"([\d.]+)%", rest)]
            for name, rest in re.findall(r"^([a-zA-Z, ]+?)  +(\d.*%)$", out, re.M)}
    assert len(rows) == 7
    plain = rows.pop("plain cross entropy")
    assert plain[1] > 80  # it knows the large classes
    assert max(row[0] for row in rows.values()) > plain[0] + 3
    assert sum(row[2] > plain[2] for row in rows.values()) >= 5  # nearly all help the small ones
