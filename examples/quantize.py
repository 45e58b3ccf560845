"""A residual network for handwritten digits in float32, with weights of 16 bits,
and with 8 bits throughout; a PyTorch program.

    rushlight run examples/quantize.py --root ../shared/data

trains on MNIST, then quantizes three ways: weights in bfloat16; int8 after calibration on some training
images; int8 after a little training with fake quantization. Prints accuracy, size of the file and time of
a batch for each. Under a minute on two cores.
"""

import argparse
import copy
import io
import time

import torch
from torch.ao.quantization import get_default_qat_qconfig_mapping, get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx
from torch.utils.data import DataLoader, Subset

from digits import ResNet, accuracy, images, train


def size_of(model):
    """Bytes of the file with its weights."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def milliseconds(model, x):
    """The least time of a batch."""
    times = []
    with torch.no_grad():
        for _ in range(12):
            start = time.perf_counter()
            model(x).sum().item()
            times.append(time.perf_counter() - start)
    return 1000 * min(times)


def half(model):
    """A copy whose weights went through bfloat16, and what they take as a file."""
    weights = {k: v.bfloat16() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    file = io.BytesIO()
    torch.save(weights, file)
    made = copy.deepcopy(model)
    made.load_state_dict(weights)
    return made, file.tell()


def calibrated(model, loader):
    """int8, with the ranges of activations on some images."""
    ready = prepare_fx(model, get_default_qconfig_mapping("onednn"), ())
    with torch.no_grad():
        for x, _ in loader:
            ready(x)
    return convert_fx(ready)


def trained_for_it(model, loader, rate):
    """int8, after an epoch in which the network feels the rounding."""
    ready = prepare_qat_fx(copy.deepcopy(model).train(), get_default_qat_qconfig_mapping("onednn"), ())
    return convert_fx(train(ready, loader, 1, rate))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--images", type=int, default=8_000, help="how many training images")
    args = p.parse_args()
    torch.manual_seed(0)
    digits, others = images(args.root)
    test = DataLoader(others, batch_size=500)
    loader = DataLoader(Subset(digits, range(args.images)), batch_size=64, shuffle=True)
    few = DataLoader(Subset(digits, range(512)), batch_size=64)
    shorter = DataLoader(Subset(digits, range(args.images // 4)), batch_size=64, shuffle=True)

    model = train(ResNet(), loader, args.epochs, 2e-3)
    small, bytes_of_half = half(model)
    rows = [("float32", model, size_of(model)), ("bfloat16 weights", small, bytes_of_half)]
    for name, made in (("int8, calibrated", calibrated(model, few)),
                       ("int8, trained for it", trained_for_it(model, shorter, 2e-4))):
        rows.append((name, made, size_of(made)))
    batch = next(iter(test))[0][:64]
    print(f"{'network':22}{'accuracy':>10}{'kB':>9}{'ms per 64':>12}")
    for name, made, size in rows:
        print(f"{name:22}{accuracy(made, test):10.2%}{size / 1000:9.0f}{milliseconds(made, batch):12.2f}", flush=True)


if __name__ == "__main__":
    main()
