"""What the processes of tests/test_distributed.py do."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import rushlight as rl
import rushlight.distributed as dist
from rushlight.nn.parallel import DistributedDataParallel

SIZE = 3


def start(rank: int, path: str) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank,
                            world_size=SIZE, timeout=timedelta(seconds=60))


def collectives(rank: int, path: str) -> None:
    start(rank, path)
    assert dist.get_rank() == rank and dist.get_world_size() == SIZE and dist.get_backend() == "gloo"
    assert dist.is_initialized()
    mine = rl.tensor([rank + 1.0, 2.0])
    for op, want in (("SUM", [6.0, 6.0]), ("PRODUCT", [6.0, 8.0]), ("MIN", [1.0, 2.0]),
                     ("MAX", [3.0, 2.0]), ("AVG", [2.0, 2.0])):
        t = mine.clone()
        work = dist.all_reduce(t, getattr(dist.ReduceOp, op), async_op=op == "SUM")
        assert (work is not None and work.wait()) if op == "SUM" else work is None
        assert t.tolist() == want, (op, t)
    bits = rl.tensor([1 << rank])
    dist.all_reduce(bits, dist.ReduceOp.BOR)
    assert bits.item() == 7
    t = mine.t().contiguous().to(rl.bfloat16)
    dist.broadcast(t, src=1)
    assert t.tolist() == [2.0, 2.0]
    t = mine.clone()
    dist.reduce(t, dst=2)
    assert t.tolist() == ([6.0, 6.0] if rank == 2 else mine.tolist())
    many = [rl.zeros(2) for _ in range(SIZE)]
    dist.all_gather(many, mine)
    assert [m[0].item() for m in many] == [1.0, 2.0, 3.0]
    flat = rl.zeros(SIZE * 2)
    dist.all_gather_into_tensor(flat, mine)
    assert flat.tolist() == [1.0, 2.0, 2.0, 2.0, 3.0, 2.0]
    many = [rl.zeros(2) for _ in range(SIZE)] if rank == 0 else None
    dist.gather(mine, many)
    assert many is None or [m[0].item() for m in many] == [1.0, 2.0, 3.0]
    part = rl.zeros(1)
    dist.scatter(part, [rl.tensor([10.0 * i]) for i in range(SIZE)] if rank == 1 else None, src=1)
    assert part.item() == 10.0 * rank
    dist.reduce_scatter_tensor(part, rl.arange(3.0) + rank)
    assert part.item() == 3.0 * rank + 3.0
    out = rl.zeros(3)
    dist.all_to_all_single(out, rl.arange(3.0) + 10 * rank)
    assert out.tolist() == [rank, 10.0 + rank, 20.0 + rank]
    pairs(rank)
    objects(rank)
    groups(rank)
    dist.monitored_barrier(timeout=timedelta(seconds=30))
    dist.barrier()
    dist.destroy_process_group()
    assert not dist.is_initialized()


def pairs(rank: int) -> None:
    after, before = (rank + 1) % SIZE, (rank - 1) % SIZE
    got = rl.zeros(1000)
    works = [dist.isend(rl.full((1000,), float(rank)), after), dist.irecv(got, before)]
    for w in works:
        w.wait()
    assert got[999].item() == before
    if rank == 0:
        sources = {dist.recv(rl.zeros(1), tag=3) for _ in range(2)}
        assert sources == {1, 2}
    else:
        dist.send(rl.ones(1), 0, tag=3)


def objects(rank: int) -> None:
    found: list[Any] = [None] * SIZE
    dist.all_gather_object(found, {"rank": rank})
    assert found == [{"rank": i} for i in range(SIZE)]
    said = [rank, "x"] if rank == 2 else [None, None]
    dist.broadcast_object_list(said, src=2)
    assert said == [2, "x"]
    box = [None]
    dist.scatter_object_list(box, ["a", "b", "c"] if rank == 0 else None)
    assert box == ["abc"[rank]]


def groups(rank: int) -> None:
    turned = dist.new_group([2, 0], sort_ranks=False)
    if rank in (0, 2):
        assert dist.get_process_group_ranks(turned) == [2, 0] and dist.get_group_rank(turned, 2) == 0
    dist.barrier(timeout=timedelta(seconds=60))
    some = dist.new_group([0, 2])
    if rank == 1:
        assert some is dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(some) == -1
    else:
        assert dist.get_rank(some) == (0 if rank == 0 else 1) and dist.get_process_group_ranks(some) == [0, 2]
    t = rl.ones(1)
    dist.all_reduce(t, group=some)
    assert t.item() == (1.0 if rank == 1 else 2.0)


def model() -> Any:
    return rl.nn.Sequential(rl.nn.Linear(4, 8), rl.nn.BatchNorm1d(8), rl.nn.Tanh(), rl.nn.Linear(8, 1))


def data_parallel(rank: int, path: str) -> None:
    start(rank, path)
    rl.manual_seed(rank)  # other weights on each rank: rank 0's win
    net = DistributedDataParallel(model().eval())
    plain = model().eval()
    rl.manual_seed(0)
    reference = model().eval()
    plain.load_state_dict(reference.state_dict())
    assert all(rl.equal(a, b) for a, b in zip(net.module.parameters(), plain.parameters()))
    rl.manual_seed(5)
    x, y = rl.randn(SIZE * 2, 4), rl.randn(SIZE * 2, 1)
    optimizers = [rl.optim.SGD(m.parameters(), lr=0.1) for m in (net, plain)]
    for step in range(3):
        with net.no_sync() if step == 1 else rl.enable_grad():
            rl.nn.functional.mse_loss(net(x[rank * 2:rank * 2 + 2]), y[rank * 2:rank * 2 + 2]).backward()
        if step == 1:
            continue  # accumulates
        rl.nn.functional.mse_loss(plain(x), y).backward()
        if step == 2:
            rl.nn.functional.mse_loss(plain(x), y).backward()
        for o in optimizers:
            o.step()
            o.zero_grad()
    for a, b in zip(net.parameters(), plain.parameters()):
        assert rl.allclose(a, b, atol=1e-5), (a, b)
    net.register_comm_hook(None, lambda s, bucket: dist.all_reduce(bucket.buffer().div_(SIZE), async_op=True).get_future().then(lambda f: bucket.buffer()))
    rl.nn.functional.mse_loss(net(x[rank * 2:rank * 2 + 2]), y[rank * 2:rank * 2 + 2]).backward()
    rl.nn.functional.mse_loss(plain(x), y).backward()
    assert rl.allclose(net.module[0].weight.grad, plain[0].weight.grad, atol=1e-5)
    dist.destroy_process_group()


def synchronized_statistics(rank: int, path: str) -> None:
    """Batches of 1, 2 and 3 rows, or of none, are normalized as the batch of all rows is, and train the same."""
    start(rank, path)

    def net() -> Any:
        rl.manual_seed(0)
        return rl.nn.Sequential(rl.nn.Conv2d(2, 4, 3), rl.nn.BatchNorm2d(4, momentum=None), rl.nn.Tanh(), rl.nn.Flatten(), rl.nn.Linear(36, 5),
                                rl.nn.BatchNorm1d(5, affine=False), rl.nn.SELU(), rl.nn.Linear(5, 1)).double()
    plain, inner = net(), rl.nn.SyncBatchNorm.convert_sync_batchnorm(net())
    assert sum(isinstance(m, rl.nn.SyncBatchNorm) for m in inner) == 2
    together = DistributedDataParallel(inner)
    optimizers = [rl.optim.SGD(m.parameters(), lr=0.1) for m in (together, plain)]
    rl.manual_seed(1)
    for sizes in ((1, 2, 3), (2, 2, 2), (4, 0, 2)):
        x = rl.randn(6, 2, 5, 5, dtype=rl.float64) * 3 + 1
        mine = x[sum(sizes[:rank]):sum(sizes[:rank + 1])].clone().requires_grad_()
        whole = x.clone().requires_grad_()
        (together(mine).square().sum() * SIZE / 6).backward()  # DistributedDataParallel takes the mean
        (plain(whole).square().sum() / 6).backward()
        for a, b in zip(inner.parameters(), plain.parameters()):
            assert rl.allclose(a.grad, b.grad, atol=1e-10), (a.grad, b.grad)
        assert rl.allclose(mine.grad / SIZE, whole.grad[sum(sizes[:rank]):sum(sizes[:rank + 1])], atol=1e-10)
        for a, b in zip(inner.buffers(), plain.buffers()):
            assert rl.allclose(a, b, atol=1e-12), (a, b)
        for o in optimizers:
            o.step()
            o.zero_grad()
    x = rl.randn(3, 2, 5, 5, dtype=rl.float64)
    assert rl.allclose(together.eval()(x), plain.eval()(x))
    half = rl.nn.SyncBatchNorm(2).to(rl.bfloat16)
    out = half(rl.full((2, 2), float(rank), dtype=rl.bfloat16))
    assert out.dtype is rl.bfloat16 and rl.allclose(out.float(), rl.full((2, 2), (rank - 1) * 1.2247), atol=0.02)
    dist.destroy_process_group()


class Halves(rl.nn.Module):
    """Uses one of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = rl.nn.ModuleList([rl.nn.Linear(1, 1) for _ in range(3)])

    def forward(self, x: Any, which: int) -> Any:
        return self.layers[which](x)


def unused(rank: int, path: str) -> None:
    start(rank, path)
    rl.manual_seed(0)
    net = DistributedDataParallel(Halves(), find_unused_parameters=True)
    net(rl.ones(1, 1), rank % 2).sum().backward()  # ranks 0 and 2 use layer 0, rank 1 layer 1, nobody layer 2
    grads = [None if layer.weight.grad is None else round(layer.weight.grad.item(), 5) for layer in net.module.layers]
    assert grads == [round(2 / 3, 5), round(1 / 3, 5), None], grads
    strict = DistributedDataParallel(Halves())
    strict(rl.ones(1, 1), 0).sum().backward()
    try:
        strict(rl.ones(1, 1), 0)
    except RuntimeError as e:
        assert "Expected to have finished reduction" in str(e) and "layers.1.weight" in str(e)
    else:
        raise AssertionError("unused parameters went unnoticed")
    dist.destroy_process_group()


def mismatch(rank: int, path: str) -> None:
    start(rank, path)
    dist.all_reduce(rl.ones(2 if rank else 3))


def early_end(rank: int, path: str) -> None:
    start(rank, path)
    if rank == 1:
        os._exit(0)
    dist.all_reduce(rl.ones(2))


def hooks_and_uneven_inputs(rank: int, path: str) -> None:
    """Hooks that compress, and ranks with fewer batches."""
    from rushlight.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
    from rushlight.distributed.algorithms.join import Join
    start(rank, path)

    def make() -> Any:
        rl.manual_seed(0)
        return rl.nn.Sequential(rl.nn.Linear(16, 16), rl.nn.Linear(16, 1))
    rl.manual_seed(5)
    x = rl.randn(SIZE * 2, 16)
    plain = make()
    plain(x).square().mean().backward()
    power = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2,
                                        start_powerSGD_iter=2, min_compression_rate=1)
    exact = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=16, start_powerSGD_iter=0,
                                        use_error_feedback=False, warm_start=False, min_compression_rate=0.1)
    cases = [(default_hooks.allreduce_hook, None, 1e-6), (default_hooks.fp16_compress_hook, None, 1e-3),
             (default_hooks.bf16_compress_hook, None, 1e-2),
             (default_hooks.fp16_compress_wrapper(default_hooks.allreduce_hook), None, 1e-3),
             (powerSGD_hook.powerSGD_hook, exact, 1e-5)]
    for hook, state, tolerance in cases:
        net = DistributedDataParallel(make())
        net.register_comm_hook(state, hook)
        net(x[rank * 2:rank * 2 + 2]).square().mean().backward()
        for p, q in zip(net.module.parameters(), plain.parameters()):
            assert rl.allclose(p.grad, q.grad, atol=tolerance, rtol=tolerance), (hook, p.grad, q.grad)
    net = DistributedDataParallel(make())
    net.register_comm_hook(power, powerSGD_hook.powerSGD_hook)
    optimizer, losses = rl.optim.SGD(net.parameters(), lr=0.02), []
    for _ in range(30):
        loss = net(x[rank * 2:rank * 2 + 2]).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2 and power.error_dict and power.iter == 30
    from rushlight.distributed.device_mesh import init_device_mesh
    for whole in (True, False):
        net = DistributedDataParallel(make(), device_mesh=init_device_mesh("cpu", (SIZE,)))
        optimizer = rl.optim.SGD(net.parameters(), lr=0.1)
        steps = 2 + rank
        with Join([net], divide_by_initial_world_size=whole):
            for i in range(steps):
                net(x[rank * 2:rank * 2 + 2] + i).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        twin = make()
        optimizer = rl.optim.SGD(twin.parameters(), lr=0.1)
        for i in range(2 + SIZE - 1):
            working = [r for r in range(SIZE) if i < 2 + r]
            sum(twin(x[r * 2:r * 2 + 2] + i).square().mean()
                for r in working).div(SIZE if whole else len(working)).backward()
            optimizer.step()
            optimizer.zero_grad()
        for p, q in zip(net.parameters(), twin.parameters()):
            assert rl.allclose(p, q, atol=1e-5, rtol=1e-4), (whole, p, q)
    dist.destroy_process_group()
