"""PowerSGD: gradients of matrices as products of thin ones (Vogels, Karimireddy, Jaggi: PowerSGD, NeurIPS 2019)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.distributed import exchange
from rushlight.distributed.algorithms.ddp_comm_hooks.default_hooks import _done, allreduce_hook
from rushlight.distributed.collectives import ReduceOp, _array, _reduced
from rushlight.distributed.groups import member
from rushlight.futures import Future
from rushlight.tensor.core import wrap


class PowerSGDState:
    """The settings of `powerSGD_hook`, and what it keeps from step to step:
    the errors that compression made, and the factors Q.

    The first ``start_powerSGD_iter`` steps are averaged as they are. A matrix n x m is compressed where (n + m) * rank
    * ``min_compression_rate`` < n * m. ValueError for a start before step 2 with error feedback or warm start.
    """

    def __init__(
        self,
        process_group: Any,
        matrix_approximation_rank: int = 1,
        start_powerSGD_iter: int = 1_000,
        min_compression_rate: float = 2,
        use_error_feedback: bool = True,
        warm_start: bool = True,
        orthogonalization_epsilon: float = 0,
        random_seed: int = 0,
        compression_stats_logging_frequency: int = 10_000,
        batch_tensors_with_same_shape: bool = False,
    ):
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, because "
                "PowerSGD can only be applied after the first two "
                "iterations in DDP."
            )
        self.process_group, self.matrix_approximation_rank, self.start_powerSGD_iter = (
            process_group,
            matrix_approximation_rank,
            start_powerSGD_iter,
        )
        self.min_compression_rate, self.use_error_feedback, self.warm_start = (
            min_compression_rate,
            use_error_feedback,
            warm_start,
        )
        self.orthogonalization_epsilon, self.rng, self.iter = (
            orthogonalization_epsilon,
            np.random.RandomState(random_seed),
            0,
        )
        self.error_dict: dict[int, np.ndarray] = {}
        self.p_memory_dict: dict[int, Any] = {}
        self.q_memory_dict: dict[int, np.ndarray] = {}


def _mean(arrays: list[np.ndarray], g: Any) -> list[np.ndarray]:
    """Means over the ranks, in one message."""
    flat = np.concatenate([a.reshape(-1) for a in arrays])
    total = _reduced(exchange.gather_arrays(flat, g), ReduceOp.AVG)
    cuts = np.cumsum([a.size for a in arrays])[:-1]
    return [part.reshape(a.shape) for part, a in zip(np.split(total, cuts), arrays)]


def powerSGD_hook(state: PowerSGDState, bucket: Any) -> Future:
    """The mean of the gradients, of matrices approximately: M is about P Q^T, P = the mean of M Q with orthonormal
    columns, Q = that of M^T P."""
    g = member(state.process_group)
    if state.iter < state.start_powerSGD_iter:
        state.iter += 1
        return allreduce_hook(g, bucket)
    state.iter += 1
    grads = [np.array(_array(t)) for t in bucket.gradients()]
    rank = state.matrix_approximation_rank
    shapes = [(t.shape[0], t.size // max(1, t.shape[0])) if t.ndim > 1 else (0, 0) for t in grads]
    thin = [i for i, (n, m) in enumerate(shapes) if n and (n + m) * rank * state.min_compression_rate < n * m]
    plain = [i for i in range(len(grads)) if i not in thin]
    matrices = {
        i: grads[i].reshape(shapes[i]) + (state.error_dict.get(i, 0) if state.use_error_feedback else 0) for i in thin
    }
    if plain:
        for i, mean in zip(plain, _mean([grads[i] for i in plain], g)):
            grads[i] = mean
    if thin:
        factors = [_start(state, i, shapes[i], min(rank, *shapes[i]), grads[i].dtype) for i in thin]
        firsts = _mean([matrices[i] @ q for i, q in zip(thin, factors)], g)
        firsts = [np.linalg.qr(p + state.orthogonalization_epsilon)[0].astype(p.dtype) for p in firsts]
        seconds = _mean([matrices[i].T @ p for i, p in zip(thin, firsts)], g)
        for i, p, q in zip(thin, firsts, seconds):
            near = p @ q.T
            state.error_dict[i], state.q_memory_dict[i] = matrices[i] - near, q
            grads[i] = near.reshape(grads[i].shape)
    return _done(wrap(np.concatenate([t.reshape(-1) for t in grads])))


def _start(state: PowerSGDState, i: int, shape: tuple[int, int], rank: int, dtype: Any) -> np.ndarray:
    """Q of the last step, or random columns that are the same on all ranks."""
    if state.warm_start and i in state.q_memory_dict:
        return np.asarray(np.linalg.qr(state.q_memory_dict[i])[0].astype(dtype))
    return np.linalg.qr(state.rng.standard_normal((shape[1], rank)))[0].astype(dtype)
