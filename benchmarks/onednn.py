"""oneDNN's primitives beside PyTorch's and NumPy's kernels: ``python benchmarks/onednn.py [conv] [gemm] [lstm] [--threads N]``.

Each side runs in a process of its own (they bring different OpenMP runtimes), the sides take turns case by case over several
rounds, and the least time counts. Layouts: ``own`` is what oneDNN prefers, in and out, so reorders are not counted; ``nchw`` and
``nhwc`` have activations in that layout and weights as the library likes. Needs torch for its columns.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

Case = dict[str, Any]
SECONDS = 0.15  # per case, side and round
PASSES = ("forward", "data", "weights")

CONVOLUTIONS = [  # name, input, weights, stride, padding
    ("lenet 3→6 k5 32²", (32, 3, 32, 32), (6, 3, 5, 5), 1, 0),
    ("lenet 6→16 k5 14²", (32, 6, 14, 14), (16, 6, 5, 5), 1, 0),
    ("stem 3→64 k7 s2 128²", (16, 3, 128, 128), (64, 3, 7, 7), 2, 3),
    ("64→64 k3 32²", (16, 64, 32, 32), (64, 64, 3, 3), 1, 1),
    ("64→128 k3 s2 32²", (16, 64, 32, 32), (128, 64, 3, 3), 2, 1),
    ("64→128 k1 s2 32²", (16, 64, 32, 32), (128, 64, 1, 1), 2, 0),
    ("128→128 k3 16²", (16, 128, 16, 16), (128, 128, 3, 3), 1, 1),
    ("128→256 k3 s2 16²", (16, 128, 16, 16), (256, 128, 3, 3), 2, 1),
    ("128→256 k1 s2 16²", (16, 128, 16, 16), (256, 128, 1, 1), 2, 0),
    ("256→256 k3 8²", (16, 256, 8, 8), (256, 256, 3, 3), 1, 1),
    ("256→512 k3 s2 8²", (16, 256, 8, 8), (512, 256, 3, 3), 2, 1),
    ("256→512 k1 s2 8²", (16, 256, 8, 8), (512, 256, 1, 1), 2, 0),
    ("512→512 k3 4²", (16, 512, 4, 4), (512, 512, 3, 3), 1, 1),
]
LAYERS = [  # linear layers: name, rows, inputs, outputs
    ("mlp", 64, 784, 256), ("mlp", 64, 256, 128), ("mlp", 64, 128, 10),
    ("gpt qkv", 2048, 256, 768), ("gpt proj", 2048, 256, 256), ("gpt up", 2048, 256, 1024), ("gpt down", 2048, 1024, 256),
    ("lstm input", 12800, 100, 1024), ("lstm input 2", 12800, 256, 1024), ("lstm step", 128, 256, 1024), ("lstm out", 12800, 256, 80),
]
LSTM = {"steps": 100, "batch": 128, "sizes": [(100, 256), (256, 256)]}


def least(function: Callable[[], object]) -> float:
    """The least time of one call, of as many as fit, after a warm-up."""
    function()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        function()
        best = min(best, time.perf_counter() - start)
    return best


def out_shape(case: Case) -> tuple[int, ...]:
    x, w, stride, padding = case["x"], case["w"], case["stride"], case["padding"]
    return (x[0], w[0], *((s + 2 * padding - k) // stride + 1 for s, k in zip(x[2:], w[2:])))


# ---------------------------------------------------------------------------------------------------- oneDNN

class OneDNN:
    def __init__(self, threads: int):
        import numpy as np

        from rushlight.exec.cpu.onednn import library, primitives, recurrent
        from rushlight.exec.cpu.onednn.memory import Desc, strides_of
        from rushlight.exec.cpu.onednn.primitive import Bound
        from rushlight.ir import dtype as dt
        self.np, self.library, self.primitives, self.recurrent = np, library, primitives, recurrent
        self.Desc, self.strides_of, self.Bound, self.f32 = Desc, strides_of, Bound, dt.float32
        library.set_threads(threads)

    def fill(self, primitive: Any) -> Any:
        """The primitive bound to buffers of small random numbers."""
        bound = self.Bound(primitive)
        bound.buffers = {}
        for name, desc in primitive.descs.items():
            memory = self.np.zeros(desc.size // 4 + 32, self.np.float32)
            if name not in ("workspace", "scratchpad"):
                memory[:] = self.np.random.default_rng(0).standard_normal(memory.size, self.np.float32) * 0.1
            bound.buffers[name] = memory
            bound.set(name, memory.ctypes.data + -memory.ctypes.data % 64)
        return bound

    def timed(self, primitive: Any) -> tuple[float, str]:
        bound = self.fill(primitive)
        run, lib = bound.primitive, self.library.library()
        execute, arguments = lib.dll.dnnl_primitive_execute, (run.handle, lib.stream, bound.count, bound.args)
        return least(lambda: execute(*arguments)), run.impl

    def conv(self, case: Case) -> tuple[float, str]:
        def desc(shape: tuple[int, ...]) -> Any:
            if case["how"] == "own":
                return self.Desc.any(shape, self.f32)
            order = (0, 2, 3, 1) if case["how"] == "nhwc" else None
            return self.Desc.of(shape, self.f32, self.strides_of(shape, order))
        p, f32 = self.primitives, self.f32
        x, w, y, b = desc(case["x"]), self.Desc.any(case["w"], f32), desc(out_shape(case)), self.Desc.any((case["w"][0],), f32)
        pads = ((case["padding"],) * 2,) * 2
        window = p.Window((case["stride"],) * 2, pads)
        forward = p.convolution(x, w, y, window, b)
        if case["pass"] == "forward":
            return self.timed(forward)
        if case["pass"] == "data":
            return self.timed(p.convolution_backward_data(x, w, y, window, forward))
        return self.timed(p.convolution_backward_weights(x, w, y, window, b, forward))

    def gemm(self, case: Case) -> tuple[float, str]:
        m, k, n, form = case["m"], case["k"], case["n"], case["form"]
        if case["how"] == "sgemm":
            return self.sgemm(m, k, n, form)
        if case["how"] == "inner":
            return self.inner(m, k, n, form)
        a = self.Desc.of((m, k), self.f32, (1, m) if form[0] == "T" else None)
        b = self.Desc.of((k, n), self.f32, (1, k) if form[1] == "T" else None)
        if case["how"] == "packed":
            b = self.Desc.any((k, n), self.f32)
        return self.timed(self.primitives.matmul(a, b, self.Desc.of((m, n), self.f32)))

    def inner(self, m: int, k: int, n: int, form: str) -> tuple[float, str]:
        p, of = self.primitives, lambda *shape: self.Desc.of(shape, self.f32)
        rows, inputs, outputs = {"NT": (m, k, n), "NN": (m, n, k), "TN": (k, n, m)}[form]
        x, w, y = of(rows, inputs), of(outputs, inputs), of(rows, outputs)
        forward = p.inner_product(x, w, y)
        return self.timed(forward if form == "NT" else p.inner_product_backward_data(x, w, y, forward) if form == "NN"
                          else p.inner_product_backward_weights(x, w, y, forward))

    def sgemm(self, m: int, k: int, n: int, form: str) -> tuple[float, str]:
        random = self.np.random.default_rng(0)
        a, b = random.standard_normal((m, k), self.np.float32), random.standard_normal((k, n), self.np.float32)
        c = self.np.zeros((m, n), self.np.float32)
        letters = [letter.encode() for letter in form]
        lda, ldb = m if form[0] == "T" else k, k if form[1] == "T" else n
        function = self.library.library().dll.dnnl_sgemm
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        arguments = (*letters, m, n, k, one, a.ctypes.data, lda, b.ctypes.data, ldb, zero, c.ctypes.data, n)
        return least(lambda: function(*arguments)), "sgemm"

    def lstm(self, case: Case) -> tuple[float, str]:
        """All layers forward, or forward and backward; ``how`` says whether weights are reordered from and to PyTorch's layout."""
        r, p = self.recurrent, self.primitives
        todo: list[Any] = []
        back: list[Any] = []
        for inputs, hidden in LSTM["sizes"]:
            cell = r.Cell("lstm", LSTM["steps"], LSTM["batch"], inputs, hidden, initial=False, batch_first=True)
            forward = r.forward(cell)
            backward = r.backward(cell, forward)
            slots = ("weights_layer", "weights_iter")
            if "reorders" in case["how"]:
                todo += [p.reorder(cell.torch_weights(s), forward.descs[s]) for s in slots]
                back[:0] = [p.reorder(backward.descs[f"diff_{s}"], cell.torch_weights(s)) for s in slots]
            todo.append(forward)
            back.insert(0, backward)
            if "reorders" in case["how"]:
                back[:0] = [p.reorder(cell.torch_weights(s), backward.descs[s]) for s in slots]
        bounds = [self.fill(primitive) for primitive in (todo if case["pass"] == "forward" else todo + back)]
        return least(lambda: [bound.execute() for bound in bounds]), ""


# ---------------------------------------------------------------------------------------------------- PyTorch and NumPy

class Torch:
    def __init__(self, threads: int):
        import torch
        self.torch = torch
        torch.set_num_threads(threads)

    def conv(self, case: Case) -> tuple[float, str]:
        torch = self.torch
        layout = torch.channels_last if case["how"] == "torch nhwc" else torch.contiguous_format
        x, w, y = (torch.randn(s).to(memory_format=layout) for s in (case["x"], case["w"], out_shape(case)))
        bias, stride, padding = torch.randn(case["w"][0]), [case["stride"]] * 2, [case["padding"]] * 2
        rest = (stride, padding, [1, 1], False, [0, 0], 1)
        with torch.no_grad():
            if case["pass"] == "forward":
                return least(lambda: torch.ops.aten.convolution(x, w, bias, *rest)), ""
            mask = [True, False, False] if case["pass"] == "data" else [False, True, True]
            return least(lambda: torch.ops.aten.convolution_backward(y, x, w, [case["w"][0]], *rest, mask)), ""

    def gemm(self, case: Case) -> tuple[float, str]:
        torch, m, k, n, form = self.torch, case["m"], case["k"], case["n"], case["form"]
        a = torch.randn(k, m).t() if form[0] == "T" else torch.randn(m, k)
        b = torch.randn(n, k).t() if form[1] == "T" else torch.randn(k, n)
        out = torch.empty(m, n)
        with torch.no_grad():
            return least(lambda: torch.mm(a, b, out=out)), ""

    def lstm(self, case: Case) -> tuple[float, str]:
        torch = self.torch
        (inputs, hidden), *more = LSTM["sizes"]
        module = torch.nn.LSTM(inputs, hidden, num_layers=1 + len(more), batch_first=True)
        x = torch.randn(LSTM["batch"], LSTM["steps"], inputs, requires_grad=True)
        g = torch.randn(LSTM["batch"], LSTM["steps"], hidden)
        if case["pass"] == "forward":
            return least(lambda: module(x)), ""
        return least(lambda: module(x)[0].backward(g)), ""


class NumPy:
    def __init__(self, threads: int):
        import numpy
        self.np = numpy

    def gemm(self, case: Case) -> tuple[float, str]:
        np, m, k, n, form = self.np, case["m"], case["k"], case["n"], case["form"]
        a = np.ones((k, m), np.float32).T if form[0] == "T" else np.ones((m, k), np.float32)
        b = np.ones((n, k), np.float32).T if form[1] == "T" else np.ones((k, n), np.float32)
        out = np.empty((m, n), np.float32)
        return least(lambda: np.matmul(a, b, out=out)), ""


SIDES: dict[str, Any] = {"onednn": OneDNN, "torch": Torch, "numpy": NumPy}


def worker(side: str, threads: int) -> None:
    """Answers cases on standard input with times on standard output."""
    runner = SIDES[side](threads)
    for line in sys.stdin:
        case = json.loads(line)
        try:
            answer = getattr(runner, case["what"])(case)
        except Exception as error:  # a combination that this side cannot do is a gap in the table
            answer = (None, f"{type(error).__name__}: {error}")
        print(json.dumps(answer), flush=True)


# ---------------------------------------------------------------------------------------------------- tables

class Workers:
    def __init__(self, threads: int):
        self.threads = threads
        self.running: dict[str, subprocess.Popen[str]] = {}

    def ask(self, side: str, case: Case) -> tuple[float | None, str]:
        if side not in self.running:
            environment = {**os.environ, **{f"{name}_NUM_THREADS": str(self.threads) for name in ("OMP", "OPENBLAS", "MKL")}}
            self.running[side] = subprocess.Popen([sys.executable, __file__, "--worker", side, "--threads", str(self.threads)], text=True,
                                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        pipe = self.running[side]
        assert pipe.stdin and pipe.stdout
        pipe.stdin.write(json.dumps(case) + "\n")
        pipe.stdin.flush()
        answer = json.loads(pipe.stdout.readline() or '[null, "worker died"]')
        time.sleep(0.02)  # threads that still wait actively would take time from the next side
        return answer[0], answer[1]

    def close(self) -> None:
        for pipe in self.running.values():
            pipe.terminate()
            pipe.wait()


COLUMNS = {
    "conv": (("onednn", "own"), ("onednn", "nchw"), ("onednn", "nhwc"), ("torch", "torch nchw"), ("torch", "torch nhwc")),
    "gemm": (("onednn", "matmul"), ("onednn", "packed"), ("onednn", "inner"), ("onednn", "sgemm"), ("numpy", "openblas"), ("torch", "torch")),
    "lstm": (("onednn", "with reorders"), ("onednn", "primitive"), ("torch", "torch")),
}


def cases(what: str) -> Iterator[tuple[str, float, Case]]:
    """(name, floating point operations, case) of each row."""
    if what == "conv":
        for name, x, w, stride, padding in CONVOLUTIONS:
            for which in PASSES:
                case = {"x": x, "w": w, "stride": stride, "padding": padding, "pass": which}
                out = out_shape(case)
                yield f"{name} {which}", 2.0 * out[0] * out[2] * out[3] * w[0] * w[1] * w[2] * w[3], case
    elif what == "gemm":
        for name, rows, inputs, outputs in LAYERS:
            for form, m, k, n in (("NT", rows, inputs, outputs), ("NN", rows, outputs, inputs), ("TN", outputs, rows, inputs)):
                yield f"{name} {form} {m}×{k}×{n}", 2.0 * m * k * n, {"form": form, "m": m, "k": k, "n": n}
    else:
        for which, factor in (("forward", 1), ("both", 3)):
            work = sum(2.0 * LSTM["steps"] * LSTM["batch"] * 4 * h * (i + h) for i, h in LSTM["sizes"])
            yield f"lstm {LSTM['sizes']} {LSTM['batch']}×{LSTM['steps']} {which}", factor * work, {"pass": which}


def table(what: str, workers: Workers, rounds: int) -> None:
    columns = COLUMNS[what]
    unit = "GFLOP/s" if what == "gemm" else "ms"
    print(f"\n{what}, {workers.threads} threads, {unit}, best of {rounds} rounds\n")
    print(f"{'':34}" + "".join(f"{how:>15}" for _, how in columns) + "   GFLOP, oneDNN's implementation")
    for name, work, case in cases(what):
        best: dict[str, float] = {}
        note = ""
        for _ in range(rounds):
            for side, how in columns:
                seconds, said = workers.ask(side, {**case, "what": what, "how": how})
                if seconds is not None:
                    best[how] = min(best.get(how, seconds), seconds)
                if how == columns[0][1] or seconds is None and said not in note:
                    note = said if how == columns[0][1] else f"{note}; {how}: {said}"
        shown = {how: f"{t * 1e3:.3f}" if unit == "ms" else f"{work / t / 1e9:.0f}" for how, t in best.items()}
        cells = [f"{shown.get(how, '-'):>15}" for _, how in columns]
        print(f"{name:34}" + "".join(cells) + f"   {work / 1e9:.4g} {note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help="conv, gemm, lstm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", choices=tuple(SIDES))
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.threads)
        return
    workers = Workers(args.threads)
    try:
        for what in args.what or COLUMNS:
            table(what, workers, args.rounds)
    finally:
        workers.close()


if __name__ == "__main__":
    main()
