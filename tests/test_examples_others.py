"""The examples on tables, games and text, short: they learn what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import realdata
from example_scripts import run


def percentages(line: str) -> list[float]:
    return [float(x) for x in re.findall(r"([\d.]+)%", line)]


def test_ensembles(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = run("ensembles.py", tmp_path, "--epochs", 12)
    table = out.partition("200 steps")[0].splitlines()[1:]
    rows = {line[:43].strip(): percentages(line)[0] for line in table}
    assert len(rows) == 12
    weak, boosted = rows.pop("one weak network, 64-6-10"), rows.pop("boosting of 20 weak networks")
    assert boosted > weak + 5 and boosted > 75
    assert min(rows.values()) > 85
    together = rows["averaging: network, convolutional, forest"]
    assert together > rows["one network, 64-32-10"] - 1 and together > rows["random forest"] - 1
    assert re.search(r"10 networks: [\d.]+ s in one plan, [\d.]+ s one after the other", out)
    assert percentages(out.splitlines()[-1])[0] > 85


def test_recommend(tmp_path: Path) -> None:
    out = run("recommend.py", tmp_path, "--epochs", 15)
    rows = [re.search(r"^(.+?)  +([\d.]+) +([\d.]+)%$", line) for line in out.splitlines()[1:]]
    errors, orders = ([float(row[k]) for row in rows if row] for k in (2, 3))
    assert len(errors) == 5 and errors == sorted(errors, reverse=True) and errors[-1] < 0.53
    assert errors[3] < 0.72 and orders[3] > 65 and abs(orders[1] - 50) < 1e-6


def test_cartpole(tmp_path: Path) -> None:
    out = run("cartpole.py", tmp_path)
    untrained, *trained = (float(x) for x in re.findall(r"(?:untrained: mean return|100 new episodes) (\d+)", out))
    assert untrained < 50 and len(trained) == 2 and min(trained) > 400


def test_language(tmp_path: Path) -> None:
    text = realdata.path("text") / "tinyshakespeare_input.txt"
    out = run("language.py", tmp_path, "--text", text, "--steps", 200, "--batch", 16, "--write", 60)
    pairs, before, after = (float(x) for x in re.findall(r"([\d.]+) nats", out))
    assert 2.4 < pairs < 2.6 and 4 < before < 4.6 and after < pairs
    written = out[out.rindex("letter") + 7:]
    assert 60 <= len(written) <= 63 and len(set(written)) > 12
