"""What the processes of tests/test_distributed_rpc.py do."""

from __future__ import annotations

import os
import time
from typing import Any

from dist_start import close, raises

import rushlight as rl
import rushlight.distributed as dist
from rushlight.distributed import autograd as dist_autograd
from rushlight.distributed import rpc


def start(rank: int, size: int, path: str, timeout: float = 30.0) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    rpc.init_rpc(
        f"w{rank}",
        rank=rank,
        world_size=size,
        rpc_backend_options=rpc.TensorPipeRpcBackendOptions(
            init_method=f"file://{path}", rpc_timeout=timeout, num_worker_threads=8
        ),
    )


def add(a: Any, b: Any = 1) -> Any:
    return a + b


def fail(text: str) -> None:
    raise KeyError(text)


def slow(seconds: float) -> int:
    time.sleep(seconds)
    return 1


def relay(to: str, x: Any) -> Any:
    return rpc.rpc_sync(to, add, (x, 1)) * 2


class Counter:
    def __init__(self, n: int) -> None:
        self.n = n

    def more(self, by: int = 1) -> int:
        self.n += by
        return self.n


def peek(ref: Any) -> Any:
    return ref.is_owner(), ref.to_here()


def keep(ref: Any) -> Any:
    KEPT.append(ref)
    return ref


KEPT: list[Any] = []


def owned() -> int:
    from rushlight.distributed.rpc.rref import _owned

    return len(_owned)


@rpc.functions.async_execution
def chained(to: str, x: Any) -> Any:
    return rpc.rpc_async(to, add, (x, 10)).then(lambda f: f.wait() + 100)


def calls(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    assert rpc.get_worker_info().name == f"w{rank}" and rpc.get_worker_info("w1").id == 1
    if rank == 0:
        assert rpc.rpc_sync("w1", add, (2,), {"b": 3}) == 5 and rpc.rpc_sync(1, add, (2,)) == 3
        assert rpc.rpc_sync("w0", add, (1,)) == 2
        x = rl.arange(4.0)
        close(rpc.rpc_sync("w1", rl.add, (x, x)), x * 2)
        close(rpc.rpc_sync(rpc.get_worker_info("w2"), rl.mul, (x, 3)), x * 3)
        works = [rpc.rpc_async(f"w{1 + i % 2}", add, (i,)) for i in range(20)]
        assert [w.wait() for w in works] == list(range(1, 21)) and rl.futures.wait_all(works)[0] == 1
        assert rpc.rpc_sync("w1", relay, ("w2", 4)) == 10 and rpc.rpc_sync("w1", relay, ("w0", 4)) == 10
        assert rpc.rpc_sync("w1", chained, ("w2", 1)) == 111
        raises(KeyError, "On WorkerInfo(id=1, name=w1)", lambda: rpc.rpc_sync("w1", fail, ("no",)))
        raises(
            RuntimeError,
            "RPC ran for more than set timeout (300 ms)",
            lambda: rpc.rpc_sync("w1", slow, (1,), timeout=0.3),
        )
        raises(RuntimeError, "Unknown destination worker w9", lambda: rpc.rpc_sync("w9", add, (1,)))
        raises(TypeError, "should be callable", lambda: rpc.rpc_sync("w1", 3))
        references()
    rpc.shutdown()
    raises(RuntimeError, "RPC has not been initialized", lambda: rpc.rpc_sync("w1", add, (1,)))


def references() -> None:
    c = rpc.remote("w1", Counter, (5,))
    assert c.owner_name() == "w1" and not c.is_owner() and c.rpc_sync().more(2) == 7
    assert c.rpc_async().more().wait() == 8 and c.remote().more(3).to_here() == 11
    raises(RuntimeError, "can't call localValue() on user", lambda: c.local_value())
    t = rpc.remote("w2", rl.ones, (3,))
    close(t.to_here(), rl.ones(3))
    own, value = rpc.rpc_sync("w2", peek, (t,))
    assert own and value.tolist() == [1.0] * 3
    own, value = rpc.rpc_sync("w1", peek, (t,))  # a third process asks the owner
    assert not own and value.tolist() == [1.0] * 3
    mine = rpc.RRef({"a": 1})
    assert mine.is_owner() and mine.local_value() == {"a": 1} == mine.to_here()
    assert rpc.rpc_sync("w1", peek, (mine,))[1] == {"a": 1}
    raises(KeyError, "bad", lambda: rpc.remote("w1", fail, ("bad",)).to_here())
    back = rpc.rpc_sync("w1", keep, (mine,))
    assert back.is_owner() and back.local_value() is mine.local_value()
    before = rpc.rpc_sync("w2", owned)
    del t
    end = time.monotonic() + 20
    while rpc.rpc_sync("w2", owned) >= before and time.monotonic() < end:
        time.sleep(0.1)
    assert rpc.rpc_sync("w2", owned) == before - 1  # nobody refers to it any more


class Half(rl.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        rl.manual_seed(seed)
        self.layer = rl.nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return self.layer(x).tanh()


def parameters(ref: Any) -> list[Any]:
    return [rpc.RRef(p) for p in ref.local_value().parameters()]


def values(ref: Any) -> list[Any]:
    return [p.detach() for p in ref.local_value().parameters()]


def gradients(rank: int, size: int, path: str) -> None:
    """A model in two other processes trains as in one."""
    from rushlight.distributed.nn import RemoteModule
    from rushlight.distributed.optim import DistributedOptimizer

    start(rank, size, path)
    if rank == 0:
        first, second = rpc.remote("w1", Half, (1,)), RemoteModule("w2/cpu", Half, (2,))
        rl.manual_seed(3)
        head = rl.nn.Linear(4, 1)
        twin = rl.nn.Sequential(Half(1), Half(2), rl.nn.Linear(4, 1))
        twin[2].load_state_dict(head.state_dict())
        optimizer = DistributedOptimizer(
            rl.optim.SGD,
            [
                *rpc.rpc_sync("w1", parameters, (first,)),
                *second.remote_parameters(),
                *[rpc.RRef(p) for p in head.parameters()],
            ],
            lr=0.5,
        )
        reference = rl.optim.SGD(twin.parameters(), lr=0.5)
        rl.manual_seed(6)
        for _ in range(3):
            x = rl.randn(5, 4)
            with dist_autograd.context() as number:
                h = first.rpc_sync().forward(x)
                loss = head(second(h) + h).square().sum()
                dist_autograd.backward(number, [loss])
                assert head.weight.grad is None and len(dist_autograd.get_gradients(number)) >= 2
                optimizer.step(number)
            h = twin[0](x)
            loss_ = twin[2](twin[1](h) + h).square().sum()
            close(loss.detach(), loss_.detach())
            reference.zero_grad()
            loss_.backward()
            reference.step()
        there = [
            *rpc.rpc_sync("w1", values, (first,)),
            *rpc.rpc_sync("w2", values, (second.get_module_rref(),)),
            *head.parameters(),
        ]
        for p, q in zip(there, twin.parameters()):
            close(p.detach(), q.detach())
        raises(RuntimeError, "Could not find autograd context", lambda: dist_autograd.backward(5, [loss]))
        with dist_autograd.context():
            w = rl.ones(1, requires_grad=True)
            raises(NotImplementedError, "does not carry gradients", lambda: rpc.remote("w1", add, (w,)))
    rpc.shutdown()


def a_worker_dies(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    if rank == 1:
        rpc.rpc_sync("w0", add, (1,))
        os._exit(0)
    if rank == 0:
        raises(RuntimeError, "has ended", lambda: rpc.rpc_sync("w1", slow, (50,)))
    rpc.shutdown()


def with_a_process_group(rank: int, size: int, path: str) -> None:
    """Remote calls beside collectives, and the differentiable ones; the shared-out optimizer."""
    from rushlight.distributed.nn import functional as G
    from rushlight.distributed.optim import ZeroRedundancyOptimizer

    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=size)
    rpc.init_rpc(f"w{rank}")
    assert rpc.rpc_sync(f"w{(rank + 1) % size}", add, (rank,)) == rank + 1
    rpc.shutdown()
    x = (rl.arange(2.0) + rank).requires_grad_()
    cases = {
        "all_reduce": (lambda: G.all_reduce(x) * (rank + 1), [3.0, 3.0]),
        "all_gather": (
            lambda: sum(t * (rank + 1) * (i + 1) for i, t in enumerate(G.all_gather(x))),
            [3.0 * (rank + 1)] * 2,
        ),
        "broadcast": (lambda: G.broadcast(x, 1) * (rank + 1), [3.0 * rank] * 2),
        "reduce": (lambda: G.reduce(x, 1) * (rank + 1), [2.0] * 2),
        "reduce_scatter": (lambda: G.reduce_scatter(rl.zeros(1), list(x.split(1))) * (rank + 1), [1.0, 2.0]),
        "all_to_all": (lambda: sum(t * (rank + 1) for t in G.all_to_all([], list(x.split(1)))), [1.0, 2.0]),
        "single": (lambda: G.all_to_all_single(rl.zeros(2), x) * (rank + 1), [1.0, 2.0]),
    }
    for name, (f, want) in cases.items():
        x.grad = None
        f().sum().backward()
        assert x.grad.tolist() == want, (name, rank, x.grad)
    raises(NotImplementedError, "is not defined here", lambda: G.all_reduce(x, dist.ReduceOp.MAX))

    def make() -> Any:
        rl.manual_seed(1)
        return rl.nn.Sequential(rl.nn.Linear(4, 8), rl.nn.Tanh(), rl.nn.Linear(8, 3))

    net, plain = rl.nn.parallel.distributed.DistributedDataParallel(make()), make()
    optimizer, reference = (
        ZeroRedundancyOptimizer(net.parameters(), rl.optim.AdamW, lr=0.01),
        rl.optim.AdamW(plain.parameters(), lr=0.01),
    )
    rl.manual_seed(2)
    for _ in range(3):
        data = rl.randn(4 * size, 4)
        net(data[rank * 4 : rank * 4 + 4]).square().mean().backward()
        plain(data).square().mean().backward()
        for o in (optimizer, reference):
            o.step()
            o.zero_grad()
    for p, q in zip(net.parameters(), plain.parameters()):
        close(p.detach(), q.detach())
    assert len(optimizer.optim.state) < len(reference.state)
    raises(RuntimeError, "has not been consolidated on this rank", lambda: optimizer.state_dict())
    optimizer.consolidate_state_dict(to=0)
    if rank == 0:
        state = optimizer.state_dict()
        want = reference.state_dict()
        assert sorted(state["state"]) == sorted(want["state"])
        assert state["param_groups"][0]["params"] == want["param_groups"][0]["params"]
        close(state["state"][2]["exp_avg"], want["state"][2]["exp_avg"])
    optimizer.load_state_dict(reference.state_dict())
    dist.destroy_process_group()
