"""Bad files: one exception type, no code, bounded time and memory; damaged tensors are named; kills lose nothing."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import serialization_corpus as corpus

import rushlight as rl
from rushlight.serialization import CheckpointError

HERE = Path(__file__).parent


def run_child(script: str, *args: str, timeout: int = 300) -> dict:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, str(HERE / script), *args], env=env, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_ten_thousand_bad_files():
    report = run_child("serialization_fuzz_child.py")
    assert report["watching"], "the audit hook saw nothing at all"
    assert report["cases"] >= 5000 and report["errors"] >= 5000
    assert report["wrong"] == []
    assert report["events"] == [], "loading caused audit events: code ran, or a file was opened"
    assert report["peak"] <= 64 << 20, "beyond twice the file, by tracemalloc"
    # The process as a whole also holds up to three copies of each file that the corpus makes.
    assert report["rss_growth"] <= 5 * report["largest"] + (64 << 20)


def test_the_watch_can_fail():
    """A full pickle that runs code is seen by the very hook that the other test relies on."""
    code = (
        "import serialization_fuzz_child as c, io, rushlight as rl, serialization_corpus as corpus\n"
        "w = c.Watch(); w.load = lambda data: (setattr(w, 'on', True), rl.load(io.BytesIO(data), weights_only=False))\n"
        "w.case('x', corpus.checkpoint(b'\\x80\\x02cos\\nsystem\\n(' + corpus.text('true') + b'tR.'), False)\n"
        "assert any('os.system' in e for e in w.report['events']), w.report\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def data_regions(data: bytes) -> list[tuple[int, int, str]]:
    """(start, size, record) of every storage of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        regions = []
        for i in z.infolist():
            if "/data/" in i.filename and i.file_size:
                at = i.header_offset
                start = (
                    at
                    + 30
                    + int.from_bytes(data[at + 26 : at + 28], "little")
                    + int.from_bytes(data[at + 28 : at + 30], "little")
                )
                regions.append((start, i.file_size, i.filename.partition("/")[2]))
        return regions


def check_flips(data: bytes, names: dict[str, list[str]], count: int) -> None:
    regions = data_regions(data)
    assert len(regions) == len(names)
    rng = random.Random(0)
    for _ in range(count):
        start, size, record = rng.choices(regions, [r[1] for r in regions])[0]
        bad = bytearray(data)
        bad[start + rng.randrange(size)] ^= 1 << rng.randrange(8)
        with pytest.raises(CheckpointError) as caught:
            rl.load(io.BytesIO(bytes(bad)))
        assert caught.value.record == record
        assert list(caught.value.tensors) == names[record]
        assert all(name in str(caught.value) for name in names[record])


def test_every_flipped_bit_is_reported_with_its_tensor():
    shared = rl.arange(30.0).reshape(6, 5)
    state = {
        "model": {"layer.weight": shared, "layer.tied": shared.t(), "bias": rl.arange(7.0)},
        "list": [0, rl.arange(9)],
    }
    names = {
        "data/0": ["['model']['layer.weight']", "['model']['layer.tied']"],
        "data/1": ["['model']['bias']"],
        "data/2": ["['list'][1]"],
    }
    check_flips(corpus.saved(state), names, 1000)


def test_flipped_bits_in_files_of_pytorch_are_reported():
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    torch.save({"w": torch.randn(30), "p": torch.nn.Parameter(torch.randn(4, 4))}, f)
    check_flips(f.getvalue(), {"data/0": ["['w']"], "data/1": ["['p']"]}, 200)


def test_a_flipped_bit_of_a_single_tensor_and_of_the_pickle():
    data = bytearray(corpus.saved(rl.ones(4)))
    start, _, _ = data_regions(bytes(data))[0]
    data[start] ^= 1
    with pytest.raises(CheckpointError, match="the saved tensor is lost"):
        rl.load(io.BytesIO(bytes(data)))
    data[start] ^= 1
    data[data.index(b"FloatStorage")] ^= 1
    with pytest.raises(CheckpointError, match=r"failed reading file data.pkl.*\n?.*damaged"):
        rl.load(io.BytesIO(bytes(data)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_two_hundred_kills_lose_nothing(tmp_path):
    result = run_child("serialization_kill_child.py", str(tmp_path))
    assert result["kills"] == 200 and result["bad"] == []
    assert result["strays"] > 0, "no kill came while a file was being written"
    assert result["left"] == ["model.pt"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "m.pt"
    rl.save({"n": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError):
            rl.save({"n": 2, "w": rl.zeros(200_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert rl.load(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["m.pt"]


def test_what_cannot_be_pickled_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.pt"
    rl.save([1], path)
    with pytest.raises((AttributeError, TypeError, Exception), match="lambda|local"):
        rl.save({"f": lambda: 0}, path)
    assert rl.load(path) == [1] and len(list(tmp_path.iterdir())) == 1


def test_strays_of_the_living_are_kept(tmp_path):
    from rushlight.serialization.atomic import replacing

    path = tmp_path / "m.pt"
    with replacing(path) as slow:
        slow.write(b"half")
        rl.save([1], path)
        assert len(list(tmp_path.iterdir())) == 2
        stray = tmp_path / ".m.pt.saving-999999-abcdef01"
        stray.write_bytes(b"left by a dead process")
        other = tmp_path / ".other.pt.saving-999999-abcdef01"
        other.write_bytes(b"of another file")
        rl.save([2], path)
        assert not stray.exists() and other.exists()
        assert rl.load(path) == [2]
    assert path.read_bytes() == b"half"


def test_links_permissions_and_special_files(tmp_path):
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    rl.save([1], real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    rl.save([2], link)
    assert link.is_symlink() and rl.load(real) == [2] and real.stat().st_mode & 0o777 == 0o640
    rl.save([3], os.devnull)
    assert not os.path.isfile(os.devnull)
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
        rl.save([1], tmp_path / "no" / "m.pt")
    with pytest.raises(FileNotFoundError):
        rl.load(tmp_path / "missing.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_on_disk_is_named(tmp_path, legacy):
    path = tmp_path / "cut.pt"
    path.write_bytes(corpus.saved(corpus.state(), legacy)[:-40])
    with pytest.raises(CheckpointError, match="cut.pt") as caught:
        rl.load(path)
    assert caught.value.file == str(path)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty"):
        rl.load(path)
