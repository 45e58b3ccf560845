"""The data pipeline: images per second of an ImageFolder of JPEGs, under PyTorch with torchvision and under rushlight.

    python benchmarks/image_folder.py --rounds 3

makes 2,000 JPEGs of 500×375 pixels and about 90 kB from CIFAR-10's photographs (``--source``, an .npz with arrays data_batch_*_x),
or takes a folder of one's own (``--pictures``). Each round reads all of them once to warm up and once for the figure, in a process of its own,
with RandomResizedCrop(224), RandomHorizontalFlip, ToTensor and Normalize in batches of 32; the two sides take turns (A B A B …).
Prints the medians and the medians of the rounds' ratios. Exit code 1 where a ratio is below ``--least``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
SIDES = ("PyTorch", "rushlight")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> int:
    """Run the rounds and judge them."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--source", type=Path, default=PROJECT.parent / "shared" / "data" / "cifar10" / "cifar10_lossless_6102.npz")
    p.add_argument("--pictures", type=Path, help="a folder with one folder of pictures per class, instead of pictures made here")
    p.add_argument("--count", type=int, default=2000)
    p.add_argument("--workers", type=int, nargs="+", default=[0, 2, 4])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, help="threads of each side's arithmetic (default: its own choice); 1 on a machine that others use")
    p.add_argument("--least", type=float, default=0.0, help="the least ratio that is no failure")
    p.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.side:
        measure(args.side, args.pictures, args.workers[0])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        pictures = args.pictures or make_pictures(args.source, Path(folder), args.count)
        if args.threads:
            os.environ.update(OMP_NUM_THREADS=str(args.threads), OPENBLAS_NUM_THREADS=str(args.threads))
        ratios = [compare(pictures, workers, args.rounds) for workers in args.workers]
    return int(min(ratios) < args.least)


def make_pictures(source: Path, folder: Path, count: int) -> Path:
    """JPEGs of 3×4 photographs each, enlarged, with a camera's grain (as large as ImageNet's then), in ten classes."""
    from PIL import Image
    with np.load(source) as archive:
        small = np.concatenate([archive[name] for name in archive.files if name.endswith("_x")])
    rng = np.random.default_rng(0)
    for i in range(count):
        several = small[rng.integers(0, len(small), 12)].reshape(3, 4, 3, 32, 32).transpose(0, 3, 1, 4, 2).reshape(96, 128, 3)
        large = np.asarray(Image.fromarray(several).resize((500, 375), Image.Resampling.BICUBIC), np.float32)
        grain = 5 * rng.standard_normal((375, 500, 1), np.float32)
        place = folder / f"class{i % 10}"
        place.mkdir(exist_ok=True)
        pixels = np.rint(large + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{i:05d}.jpg", quality=95)
    size = sum(f.stat().st_size for f in folder.rglob("*.jpg")) / count
    print(f"{count} JPEGs of 500×375 pixels, {size / 1000:.0f} kB each", flush=True)
    return folder


def compare(pictures: Path, workers: int, rounds: int) -> float:
    """The rounds of one number of workers; gives the ratio."""
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            command = [sys.executable, __file__, "--side", side, "--pictures", str(pictures), "--workers", str(workers)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)})
            if done.returncode:
                raise SystemExit(f"{side} failed:\n{done.stderr}")
            rates[side].append(float(done.stdout.split()[-1]))
    ratio = statistics.median(b / a for a, b in zip(rates["PyTorch"], rates["rushlight"], strict=True))
    shown = ", ".join(f"{side} {statistics.median(found):6.0f} images/s" for side, found in rates.items())
    print(f"{workers} workers: {shown}: {ratio:.2f} times", flush=True)
    return ratio


def measure(side: str, pictures: Path, workers: int) -> None:
    """Two epochs; prints the second's images per second."""
    datasets, transforms, loader = rushlight_side() if side == "rushlight" else pytorch_side()
    chain = transforms.Compose([transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
                                transforms.Normalize(MEAN, STD)])
    batches = loader(datasets.ImageFolder(str(pictures), chain), batch_size=32, shuffle=True, num_workers=workers)
    for _ in range(2):
        begin, seen = time.perf_counter(), 0
        for images, _ in batches:
            seen += images.shape[0]
        rate = seen / (time.perf_counter() - begin)
    print(rate)


def rushlight_side() -> tuple:
    """Data sets, transforms and loader of rushlight."""
    from rushlight.data import DataLoader
    from rushlight.vision import datasets, transforms
    return datasets, transforms, DataLoader


def pytorch_side() -> tuple:
    """Data sets, transforms and loader of PyTorch; where torchvision's native part is missing, as the tests import it."""
    try:
        import torchvision
    except RuntimeError:
        sys.path.insert(0, str(PROJECT / "tests"))
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        from vision_oracle import torchvision
    from torch.utils.data import DataLoader
    return torchvision.datasets, torchvision.transforms, DataLoader


if __name__ == "__main__":
    sys.exit(main())
