"""Real data for the programs, read with NumPy alone; $DATA names the folder."""

import gzip
import os

import numpy as np

DATA = os.environ["DATA"]


def _idx(path):
    with gzip.open(os.path.join(DATA, path)) as file:
        raw = file.read()
    shape = [int.from_bytes(raw[4 + 4 * i:8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def mnist(count, name="MNIST"):
    """Pictures (count, 28, 28) of bytes and labels, from the test files, which are quick to read."""
    return _idx(f"{name}/raw/t10k-images-idx3-ubyte.gz")[:count].copy(), _idx(f"{name}/raw/t10k-labels-idx1-ubyte.gz")[:count].astype(np.int64)


def cifar(count):
    """Pictures (count, 3, 32, 32) of bytes and labels."""
    with np.load(os.path.join(DATA, "cifar10/cifar10_lossless_6102.npz")) as file:
        return file["data_batch_1_x"][:count], file["data_batch_1_labels"][:count].astype(np.int64)


def text(name, count):
    """The first characters of "tinyshakespeare_input", "alice_wonderland" or "names"."""
    with open(os.path.join(DATA, "text", name + ".txt"), encoding="utf8") as file:
        return file.read(count)
