"""What the processes of tests/test_distributed_tensor.py do with tensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from dist_start import close, raises, start

import rushlight as rl
import rushlight.distributed as dist
import rushlight.nn.functional as F
from rushlight.distributed.device_mesh import DeviceMesh, init_device_mesh
from rushlight.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, full, ones, randn, zeros
from rushlight.distributed.tensor.parallel import ColwiseParallel, parallelize_module


def meshes(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    assert mesh.shape == (2, 2) and mesh.size() == 4 and mesh.size(1) == 2 and mesh.ndim == 2
    assert mesh.mesh.tolist() == [[0, 1], [2, 3]]
    assert mesh.get_coordinate() == (rank // 2, rank % 2) and mesh.get_local_rank("tp") == rank % 2
    assert mesh.get_local_rank(0) == rank // 2
    tp, dp = mesh["tp"], mesh["dp"]
    assert tp.mesh.tolist() == [rank // 2 * 2, rank // 2 * 2 + 1] and dp.mesh.tolist() == [rank % 2, rank % 2 + 2]
    assert tp.get_group() is mesh.get_group("tp") and mesh["dp", "tp"] == mesh
    assert tp.get_local_rank() == rank % 2 and len(mesh.get_all_groups()) == 2
    t = rl.tensor([float(rank)])
    dist.all_reduce(t, group=dp.get_group())
    assert t.item() == 2 * (rank % 2) + 2
    turned = mesh["tp", "dp"]
    assert turned.mesh.tolist() == [[0, 2], [1, 3]] and turned.get_coordinate() == (rank % 2, rank // 2)
    flat = mesh._flatten("all")
    t = rl.tensor([float(rank)])
    dist.all_reduce(t, group=flat.get_group())
    assert t.item() == 6 and mesh["all"] is flat
    again = DeviceMesh("cpu", [[0, 1], [2, 3]], mesh_dim_names=("dp", "tp"))
    assert again == mesh and hash(again) == hash(mesh) and repr(mesh) == "DeviceMesh((dp=2, tp=2), 'cpu')"
    taken = DeviceMesh.from_group(mesh.get_group("tp"), "cpu", mesh_dim_names=("tp",))
    assert taken == tp
    part = DeviceMesh("cpu", [1, 3])
    assert part.get_coordinate() == ((rank // 2,) if rank % 2 else None)
    raises(KeyError, "Invalid mesh_dim_names ('x',) specified", lambda: mesh["x"])
    raises(KeyError, "Mesh dimension 'x' does not exist", lambda: mesh.get_group("x"))
    raises(RuntimeError, "Optional kwarg `mesh_dim` needs to be specified", lambda: mesh.get_group())
    raises(RuntimeError, "Mesh should not be bigger than default world size 4", lambda: init_device_mesh("cpu", (8,)))
    raises(RuntimeError, "should have same length", lambda: init_device_mesh("cpu", (4,), mesh_dim_names=("a", "b")))
    raises(RuntimeError, "must be unique", lambda: init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "a")))
    raises(RuntimeError, "Device type with index is not supported", lambda: init_device_mesh("cpu:0", (4,)))
    raises(RuntimeError, "cannot be made", lambda: init_device_mesh("cuda", (4,)))
    raises(RuntimeError, "Cannot slice a DeviceMesh without mesh_dim_names", lambda: part["x"])
    dist.destroy_process_group()


def placements_and_moves(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (size,))
    x = rl.arange(5 * 3.0).reshape(5, 3)
    for p in (Shard(0), Shard(1), Replicate(), Partial()):
        d = distribute_tensor(x, mesh, [p])
        close(d, x, p)
        for q in (Shard(0), Shard(1), Replicate(), Shard(-1)):
            e = d.redistribute(placements=[q])
            close(e, x, (p, q))
            assert (
                e.to_local().numel() <= -(-x.shape[q.dim] // size) * x.numel() // x.shape[q.dim]
                if isinstance(q, Shard)
                else True
            )
    d = distribute_tensor(x, mesh, [Shard(0)])
    assert d.shape == (5, 3) and d.size(0) == 5 and d.numel() == 15 and d.stride() == (3, 1)
    assert d.placements == (Shard(0),) and d.device_mesh == mesh
    assert isinstance(d, rl.Tensor) and isinstance(d, DTensor) and d.dtype is rl.float32 and len(d) == 5 and d.ndim == 2
    assert "placements=(Shard(dim=0),)" in repr(d) and "DTensor(local_tensor=tensor(" in repr(d)
    # gradients go back the way the values came
    w = rl.randn(5, 3)
    for p in (Shard(0), Shard(1), Replicate()):
        for q in (Shard(0), Shard(1), Replicate()):
            d = distribute_tensor(x, mesh, [p]).requires_grad_()
            e = d.redistribute(placements=[q])
            (e * distribute_tensor(w, mesh, [q])).sum().backward()
            assert d.grad.placements == (p,)
            close(d.grad, w, (p, q))
    local_tensors(rank, size, mesh, x)
    files(rank, mesh, path)


def local_tensors(rank: int, size: int, mesh: Any, x: Any) -> None:
    """Tensors of one rank in and out, factories, and what is refused."""
    # local tensors in and out
    mine = rl.full((2, 2), rank + 1.0).requires_grad_()
    d = DTensor.from_local(mine, mesh, [Shard(0)])
    assert d.shape == (2 * size, 2)
    (d.to_local() * (rank + 2)).sum().backward()
    assert mine.grad.tolist() == [[rank + 2.0] * 2] * 2
    mine.grad = None
    total = DTensor.from_local(mine, mesh, [Partial()]).full_tensor()
    assert total[0, 0].item() == sum(range(1, size + 1))
    (total * 3).sum().backward()
    assert mine.grad.tolist() == [[3.0] * 2] * 2
    w = rl.ones(2, requires_grad=True)
    DTensor.from_local(w, mesh, [Replicate()]).to_local(grad_placements=[Partial()]).mul(rank + 1.0).sum().backward()
    assert w.grad[0].item() == sum(range(1, size + 1))
    assert zeros(4, 2, device_mesh=mesh, placements=[Shard(0)]).to_local().shape == (4 // size, 2)
    close(ones((4, 2), device_mesh=mesh, placements=[Shard(1)]), rl.ones(4, 2))
    close(full((3,), 2.5, device_mesh=mesh), rl.full((3,), 2.5))
    rl.manual_seed(3)
    a = randn(4, 4, device_mesh=mesh, placements=[Shard(0)])
    rl.manual_seed(3)
    close(a, rl.randn(4, 4))
    raises(RuntimeError, "got mixed torch.Tensor and DTensor", lambda: a + rl.ones(4, 4))
    raises(
        ValueError,
        "`placements` must have the same length as `device_mesh.ndim`!",
        lambda: distribute_tensor(x, mesh, [Shard(0), Shard(1)]),
    )
    raises(IndexError, "Dimension out of range", lambda: distribute_tensor(x, mesh, [Shard(2)]))
    raises(ValueError, "do you want to call `redistribute` instead", lambda: distribute_tensor(a, mesh, [Replicate()]))
    raises(
        RuntimeError,
        "redistributing to Partial is for internal use only",
        lambda: a.redistribute(placements=[Partial()]),
    )
    raises(RuntimeError, "is not supported for tensor subclasses", lambda: a.numpy())



def files(rank: int, mesh: Any, path: str) -> None:
    """torch.save on each rank, torch.load there again; then without process groups. Ends them."""
    x = rl.arange(14.0).reshape(7, 2)
    parameter = rl.nn.Parameter(distribute_tensor(x, mesh, [Shard(0)]))
    parameter.note = "kept"
    term = DTensor.from_local(x + rank, mesh, [Partial("max")])
    held = {"p": parameter, "r": distribute_tensor(x, mesh, [Replicate()]), "t": term, "x": x}
    name = f"{path}.{rank}.pt"
    rl.save(held, name)
    for safe in (True, False):
        found = rl.load(name, weights_only=safe)
        for key, want in held.items():
            assert type(found[key]) is type(want)
            if isinstance(want, DTensor):
                assert found[key].device_mesh is mesh and found[key].placements == want.placements
                assert found[key].shape == want.shape and rl.equal(found[key].full_tensor(), want.full_tensor())
        assert isinstance(found["p"], rl.nn.Parameter) and found["p"].requires_grad and not found["r"].requires_grad
        assert found["p"].note == "kept"
    (found["p"] * 2).sum().full_tensor().backward()
    assert found["p"].grad.placements == (Shard(0),)
    layer = rl.nn.Linear(4, 6)
    parallelize_module(layer, mesh, ColwiseParallel())
    rl.save(layer.state_dict(), name)
    saved = {k: v.full_tensor() for k, v in layer.state_dict().items()}
    with rl.no_grad():
        layer.weight.zero_()
    layer.load_state_dict(rl.load(name))
    assert all(rl.equal(v.full_tensor(), saved[k]) for k, v in layer.state_dict().items())
    pieces = {k: v.to_local() for k, v in layer.state_dict().items()}
    dist.destroy_process_group()
    found = rl.load(name)
    assert all(rl.equal(found[k].to_local(), v) for k, v in pieces.items())
    raises(RuntimeError, "comes from a file and has no process groups", lambda: found["weight"].full_tensor())


def two_dimensions(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "b"))
    x = rl.arange(7 * 5.0).reshape(7, 5)
    kinds = (Shard(0), Shard(1), Replicate())
    every = [(p, q) for p in (*kinds, Partial()) for q in (*kinds, Partial())]
    for old in every:
        d = distribute_tensor(x, mesh, old)
        for new in every:
            if not any(isinstance(n, Partial) and n != o for o, n in zip(old, new)):
                close(d.redistribute(placements=new), x, (old, new))
    d = distribute_tensor(x, mesh, [Shard(0), Shard(0)]).requires_grad_()
    w = rl.randn(5, 3)
    out = d @ distribute_tensor(w, mesh, [Replicate(), Shard(1)])
    close(out, x @ w)
    out.square().sum().backward()
    y = x.clone().requires_grad_()
    (y @ w).square().sum().backward()
    close(d.grad, y.grad)
    dist.destroy_process_group()


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "mul": lambda x, y: x * y,
    "chain": lambda x, y: ((x - 2) * y.exp()).tanh() / 3,
    "broadcast": lambda x, y: x * y[0] + y[:, :1],
    "matmul": lambda x, y: x @ y.t(),
    "matmul_t": lambda x, y: x.t() @ y,
    "linear": lambda x, y: F.linear(x, y, y.sum(1)),
    "square": lambda x, y: (x @ y.T) @ x,
    "addmm": lambda x, y: rl.addmm(y @ y.t(), x, y.t(), beta=0.5, alpha=2.0),
    "einsum": lambda x, y: rl.einsum("ij,kj->ik", x, y),
    "bmm": lambda x, y: x.view(2, 2, 12) @ y.view(2, 12, 2),
    "sum": lambda x, y: x.sum(),
    "sum0": lambda x, y: x.sum(0),
    "sum1k": lambda x, y: (x * y).sum(1, keepdim=True),
    "mean": lambda x, y: (x * y).mean(),
    "mean0": lambda x, y: x.mean(0) * y[0],
    "var": lambda x, y: x.var(1) + y.std(0).sum(),
    "norm": lambda x, y: x.norm() * rl.linalg.vector_norm(y),
    "max": lambda x, y: x.max(),
    "amax": lambda x, y: x.amax(1) + y.amin(1),
    "max1": lambda x, y: x.max(1).values,
    "prod": lambda x, y: x.prod(1),
    "softmax": lambda x, y: (x.softmax(1) * y).sum(0),
    "softmax0": lambda x, y: F.log_softmax(x * y, 0),
    "cumsum": lambda x, y: x.cumsum(0),
    "sort": lambda x, y: x.sort(1).values * y,
    "logsumexp": lambda x, y: (x * y).logsumexp(1),
    "t": lambda x, y: x.t() * y.t(),
    "permute": lambda x, y: x.view(2, 2, 12).permute(2, 0, 1).contiguous() * 2,
    "view": lambda x, y: x.view(2, -1) + y.reshape(2, 24),
    "view3": lambda x, y: x.view(4, 3, 4) * y.unflatten(1, (3, 4)),
    "flatten": lambda x, y: x.flatten() * y.ravel(),
    "merge": lambda x, y: x.view(2, 2, 3, 4).flatten(0, 1).flatten(1),
    "unsqueeze": lambda x, y: x.unsqueeze(1) * y.unsqueeze(0),
    "squeeze": lambda x, y: x[:1].squeeze() + y.unsqueeze(0).squeeze(0)[1],
    "expand": lambda x, y: x[:, :1].expand(4, 5).contiguous(),
    "cat": lambda x, y: rl.cat([x, y], 0),
    "cat1": lambda x, y: rl.cat([x, y, x], 1),
    "stack": lambda x, y: rl.stack([x, y]),
    "split": lambda x, y: x.split(3, 0)[1] if x.shape[0] > 3 else x,
    "chunk": lambda x, y: x.chunk(2, 1)[0] * y.chunk(2, 1)[1],
    "unbind": lambda x, y: x.unbind(0)[1] + y.unbind(0)[0],
    "index": lambda x, y: x[1:3, ::2] * y[..., :6][1:3],
    "select": lambda x, y: x[1] * y[-1],
    "fancy": lambda x, y: x[[0, 2, 1]],
    "gather": lambda x, y: x.gather(1, y.argsort(1)),
    "where": lambda x, y: rl.where(x > 0, x, y),
    "masked": lambda x, y: x.masked_fill(y > 0, 3.0),
    "clamp": lambda x, y: x.clamp(min=-0.5).clamp(max=0.5) + y.abs(),
    "layer_norm": lambda x, y: F.layer_norm(x, (12,), y[0], y[1]),
    "rms_norm": lambda x, y: F.rms_norm(x, (12,), y[0]),
    "gelu": lambda x, y: F.gelu(x) + F.silu(y) + F.relu(x),
    "sdpa": lambda x, y: F.scaled_dot_product_attention(
        x.view(2, 2, 3, 4), y.view(2, 2, 3, 4), x.view(2, 2, 3, 4), is_causal=True
    ),
    "mse": lambda x, y: F.mse_loss(x, y),
    "conv": lambda x, y: F.conv1d(x.view(4, 2, 6), y.view(4, 2, 6)[:, :, :3]),
    "pool": lambda x, y: F.max_pool1d(x.view(4, 2, 6), 2) + 0 * y.sum(),
    "svd": lambda x, y: rl.linalg.svdvals(x @ y.t()),
    "tril": lambda x, y: (x @ y.t()).tril(),
    "repeat": lambda x, y: x.repeat(2, 1),
    "flip": lambda x, y: x.flip(0) * y,
    "pow": lambda x, y: x**2 + 1 / (y * y + 1) - (3 - x),
    "half": lambda x, y: (x.double() * y.double()).float(),
    "detach": lambda x, y: x * x.detach() + y,
    "partial": lambda x, y: (x.sum(0) + y.sum(0)) * 2 - x.sum(0) / 4,
    "partial_square": lambda x, y: x.sum(0) * y.sum(0),
    "outer": lambda x, y: rl.outer(x.sum(1), y.sum(1)),
}


def operations(rank: int, size: int, path: str) -> None:
    """Every operation on pairs of placements: values and gradients of the plain one."""
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (size,))
    pairs = [(Shard(0), Shard(0)), (Shard(1), Shard(0))]
    if size == 2:
        pairs += [(Shard(0), Shard(1)), (Shard(1), Shard(1)), (Shard(0), Replicate()), (Replicate(), Shard(1))]
    for name, f in OPERATIONS.items():
        rl.manual_seed(1)
        a, b = rl.randn(4, 12, requires_grad=True), rl.randn(4, 12, requires_grad=True)
        want = f(a, b)
        weight = rl.randn(want.shape)
        (want * weight).sum().backward()
        grads = [t.grad if t.grad is not None else rl.zeros(4, 12) for t in (a, b)]
        for p, q in pairs:
            x, y = (distribute_tensor(t.detach(), mesh, [k]).requires_grad_() for t, k in ((a, p), (b, q)))
            out = f(x, y)
            assert isinstance(out, DTensor), name
            close(out, want, (name, p, q))
            (out * distribute_tensor(weight, mesh, [Replicate()])).sum().backward()
            for t, g in zip((x, y), grads):
                close(t.grad if t.grad is not None else rl.zeros(4, 12), g, (name, p, q, "gradient"))
    stays_sharded(mesh)
    dist.destroy_process_group()


def stays_sharded(mesh: Any) -> None:
    """What must not gather."""
    size = mesh.size()
    x, w = (
        randn(8, 12, device_mesh=mesh, placements=[Shard(0)]),
        randn(12, 8, device_mesh=mesh, placements=[Replicate()]),
    )
    assert (x @ w).placements == (Shard(0),) and (x + 1).relu().placements == (Shard(0),)
    assert x.sum(1).placements == (Shard(0),) and x.sum(0).placements == (Partial(),)
    assert (w.t() @ x.t()).placements == (Shard(1),) and (x.t() @ x).placements == (Partial(),)
    assert x.view(8, 3, 4).placements == (Shard(0),)
    assert x.t().placements == (Shard(1),) and x.softmax(1).placements == (Shard(0),)
    assert x.softmax(0).placements == (Replicate(),)
    y = w.redistribute(placements=[Shard(1)])
    assert F.linear(x.redistribute(placements=[Replicate()]), y.t()).placements == (Shard(1),)
    assert (x.sum(0) + x.sum(0)).placements == (Partial(),)
    assert (x.sum(0) * 2).placements == (Partial(),) and (x.sum(0) + 1).placements == (Replicate(),)
    assert x.to_local().numel() == 96 // size
    assert zeros(8, 2, device_mesh=mesh, placements=[Shard(0)]).to_local().numel() == 16 // size


def a_rank_dies(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (size,))
    x = distribute_tensor(rl.ones(4, 4), mesh, [Shard(0)])
    if rank == 1:
        os._exit(0)
    x.full_tensor()
