"""int8 beside float32: seconds per batch of torchvision's networks at 224², and the bytes of their files.

    python benchmarks/quantized.py --models resnet50 --batches 1 16 --least 1.8

quantizes each network by tracing, calibrated on random images; float32 and int8 take turns (A B A B …). Prints the medians, the
median of the ratios, and how far both answers are apart. Exit code 1 where a ratio is below ``--least``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    """Measure and judge."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", nargs="+", default=["resnet50"])
    p.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--least", type=float, default=0.0, help="the least ratio that is no failure")
    args = p.parse_args()
    bad = 0
    for name in args.models:
        bad += measure(name, args)
    return 1 if bad else 0


def measure(name: str, args: argparse.Namespace) -> int:
    """One network at all batch sizes; how many ratios are too low."""
    import rushlight as rl
    from rushlight.compress import saved_bytes
    from rushlight.vision import models
    rl.manual_seed(0)
    plain = getattr(models, name)().eval()
    small = quantized(rl, plain)
    print(f"{name}: {saved_bytes(plain) / 1e6:.1f} MB in float32, {saved_bytes(small) / 1e6:.1f} MB in int8")
    sides = {"float32": plain, "int8": small}
    low = 0
    for batch in args.batches:
        x = np.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=np.float32)
        images = rl.tensor(x)
        times: dict[str, list[float]] = {side: [] for side in sides}
        answers: dict[str, Any] = {}
        for turn in range(args.rounds + 2):
            for side, net in sides.items():
                start = time.perf_counter()
                with rl.inference_mode():
                    answers[side] = net(images).numpy()
                if turn > 1:
                    times[side].append(time.perf_counter() - start)
        ratio = statistics.median(a / b for a, b in zip(times["float32"], times["int8"]))
        far = np.abs(answers["float32"] - answers["int8"]).max() / np.abs(answers["float32"]).max()
        medians = ", ".join(f"{side} {1000 * statistics.median(t):.1f} ms" for side, t in times.items())
        print(f"  batch {batch}: {medians}; {ratio:.2f} times as fast in int8; answers differ by {far:.2%} of the greatest", flush=True)
        low += ratio < args.least
    return low


def quantized(rl: Any, model: Any) -> Any:
    """A copy in int8, calibrated on random images."""
    from rushlight.ao.quantization import get_default_qconfig_mapping
    from rushlight.ao.quantization.quantize_fx import convert_fx, prepare_fx
    x = rl.randn(4, 3, 224, 224)
    ready = prepare_fx(model, get_default_qconfig_mapping("x86"), (x,))
    with rl.no_grad():
        ready(x)
    return convert_fx(ready)


if __name__ == "__main__":
    sys.exit(main())
