"""Runs exported models with onnxruntime, or with onnx's own evaluator where that is
missing, and compares them with rushlight."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.utils._pytree import tree_flatten

onnx = pytest.importorskip("onnx")


def results(model: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model."""
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session: Any = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except ModuleNotFoundError:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(model)
    return session.run(None, feeds)


def same(model: Any, program: Any, args: tuple[Any, ...], tol: float) -> None:
    """The exported model gives what the program gives."""
    feeds = {
        i.name: t.detach().numpy()
        for i, t in zip(model.graph.input, [x for x in tree_flatten(args)[0] if isinstance(x, rl.Tensor)])
    }
    have = results(model, feeds)
    with rl.no_grad():
        want = [
            t
            for t in tree_flatten(program(*[a.clone() if isinstance(a, rl.Tensor) else a for a in args]))[0]
            if isinstance(t, rl.Tensor)
        ]
    assert len(have) == len(want)
    for h, w in zip(have, want):
        w = w.detach().numpy()
        assert h.shape == w.shape and h.dtype == w.dtype, (h.shape, w.shape, h.dtype, w.dtype)
        np.testing.assert_allclose(h, w, rtol=tol, atol=tol)


def check(
    program: Any, args: tuple[Any, ...], *, dynamic: Any = None, other: Any = None, tol: float = 1e-4, **options: Any
) -> Any:
    """Export a program, check the model, and compare its results for the example inputs and for others; the model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = rl.onnx.export(program, args, dynamic_axes=dynamic, **options)
    model = exported.model_proto
    onnx.checker.check_model(model, full_check=True)
    for given in (args, *([other] if other is not None else [])):
        same(model, program, given, tol)
    return model
