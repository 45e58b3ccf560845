"""What the processes of tests/test_distributed_tensor.py do."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import rushlight as rl
import rushlight.distributed as dist
import rushlight.nn.functional as F
from rushlight.distributed.device_mesh import DeviceMesh, init_device_mesh
from rushlight.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor
from rushlight.distributed.tensor import full, ones, randn, zeros
from rushlight.distributed.tensor.parallel import ColwiseParallel, parallelize_module


def start(rank: int, size: int, path: str) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    dist.init_process_group(
        "gloo", init_method=f"file://{path}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    rl.manual_seed(0)


def raises(kind: type[Exception], text: str, f: Callable[[], Any]) -> None:
    try:
        f()
    except kind as e:
        assert text in str(e), (text, str(e))
        return
    raise AssertionError(f"no {kind.__name__} with {text!r}")


def meshes(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    assert (
        mesh.shape == (2, 2)
        and mesh.size() == 4
        and mesh.size(1) == 2
        and mesh.ndim == 2
        and mesh.mesh.tolist() == [[0, 1], [2, 3]]
    )
    assert (
        mesh.get_coordinate() == (rank // 2, rank % 2)
        and mesh.get_local_rank("tp") == rank % 2
        and mesh.get_local_rank(0) == rank // 2
    )
    tp, dp = mesh["tp"], mesh["dp"]
    assert tp.mesh.tolist() == [rank // 2 * 2, rank // 2 * 2 + 1] and dp.mesh.tolist() == [rank % 2, rank % 2 + 2]
    assert (
        tp.get_group() is mesh.get_group("tp")
        and mesh["dp", "tp"] == mesh
        and tp.get_local_rank() == rank % 2
        and len(mesh.get_all_groups()) == 2
    )
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


def close(a: Any, b: Any, what: Any = "") -> None:
    a = a.full_tensor() if isinstance(a, DTensor) else a
    assert tuple(a.shape) == tuple(b.shape) and rl.allclose(a.to(b.dtype), b, atol=1e-5, rtol=1e-5), (what, a, b)


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
    assert (
        d.shape == (5, 3)
        and d.size(0) == 5
        and d.numel() == 15
        and d.stride() == (3, 1)
        and d.placements == (Shard(0),)
        and d.device_mesh == mesh
    )
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
    files(rank, mesh, path)


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
    assert (
        (x @ w).placements == (Shard(0),)
        and (x + 1).relu().placements == (Shard(0),)
        and x.sum(1).placements == (Shard(0),)
        and x.sum(0).placements == (Partial(),)
    )
    assert (
        (w.t() @ x.t()).placements == (Shard(1),)
        and (x.t() @ x).placements == (Partial(),)
        and x.view(8, 3, 4).placements == (Shard(0),)
    )
    assert (
        x.t().placements == (Shard(1),)
        and x.softmax(1).placements == (Shard(0),)
        and x.softmax(0).placements == (Replicate(),)
    )
    y = w.redistribute(placements=[Shard(1)])
    assert F.linear(x.redistribute(placements=[Replicate()]), y.t()).placements == (Shard(1),) and (
        x.sum(0) + x.sum(0)
    ).placements == (Partial(),)
    assert (x.sum(0) * 2).placements == (Partial(),) and (x.sum(0) + 1).placements == (Replicate(),)
    assert (
        x.to_local().numel() == 96 // size
        and zeros(8, 2, device_mesh=mesh, placements=[Shard(0)]).to_local().numel() == 16 // size
    )


def modules_and_optimizers(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (size,))

    def make() -> Any:
        rl.manual_seed(2)
        return rl.nn.Sequential(
            rl.nn.Embedding(10, 8),
            rl.nn.Linear(8, 12),
            rl.nn.GELU(),
            rl.nn.Dropout(0.3),
            rl.nn.LayerNorm(12),
            rl.nn.Linear(12, 10),
        )

    plain = make()
    net = distribute_module(
        make(), mesh, shard_all, lambda m, inputs, mesh: (distribute_tensor(inputs[0], mesh, [Shard(0)]),)
    )
    for p in net.parameters():
        assert (
            isinstance(p, DTensor)
            and isinstance(p, rl.nn.Parameter)
            and p.is_leaf
            and p.to_local().shape[0] <= -(-p.shape[0] // size)
        )
    for kind, options in (
        (rl.optim.SGD, dict(lr=0.1, momentum=0.9)),
        (rl.optim.AdamW, dict(lr=0.01)),
        (rl.optim.RMSprop, dict(lr=0.01, momentum=0.5, centered=True)),
        (rl.optim.Adagrad, dict(lr=0.01)),
    ):
        a, b = kind(plain.parameters(), **options), kind(net.parameters(), **options)
        for step in range(3):
            rl.manual_seed(step)
            x = rl.randint(0, 10, (6, 4))
            y = rl.randint(0, 10, (6,))
            y[0] = -100
            state = rl.get_rng_state()
            loss = F.cross_entropy(plain(x).mean(1), y, label_smoothing=0.1)
            rl.set_rng_state(state)
            loss_ = F.cross_entropy(net(x).mean(1), distribute_tensor(y, mesh, [Shard(0)]), label_smoothing=0.1)
            close(loss_, loss, (kind, step))
            assert abs(loss_.item() - loss.item()) < 1e-5
            loss.backward()
            loss_.backward()
            norm, norm_ = (rl.nn.utils.clip_grad_norm_(m.parameters(), 0.5) for m in (plain, net))
            close(norm_, norm)
            for o in (a, b):
                o.step()
                o.zero_grad()
        for p, q in zip(plain.parameters(), net.parameters()):
            close(q, p.detach(), (kind, tuple(p.shape)))
        assert all(
            isinstance(v, DTensor) and v.placements == (Shard(0),)
            for s in b.state.values()
            for k, v in s.items()
            if k != "step"
        )
    classes = distribute_tensor(plain(x).mean(1).detach(), mesh, [Shard(1)]).requires_grad_()
    whole = classes.full_tensor().detach().requires_grad_()
    loss_, loss = F.cross_entropy(classes, distribute_tensor(y, mesh, [Replicate()])), F.cross_entropy(whole, y)
    close(loss_, loss)
    loss_.backward()
    loss.backward()
    close(classes.grad, whole.grad)
    net.load_state_dict(plain.state_dict())
    plain.zero_grad()
    rl.manual_seed(9)
    net[1].reset_parameters()
    rl.manual_seed(9)
    plain[1].reset_parameters()
    close(net[1].weight, plain[1].weight.detach())
    x = distribute_tensor(rl.ones(4, 3), mesh, [Shard(0)])
    x[1] = 5.0
    x.add_(1).mul_(2)
    x += x
    assert x.full_tensor()[:2].tolist() == [[8.0] * 3, [24.0] * 3] and x.placements == (Shard(0),)
    autograd_functions(mesh)
    layers(mesh)
    raises(NotImplementedError, "Muon", lambda: _step(rl.optim.Muon, net))
    dist.destroy_process_group()


def layers(mesh: Any) -> None:
    """Modules with sharded parameters compute what plain ones do."""
    import copy

    rl.manual_seed(1)
    x, pictures = rl.randn(4, 4), rl.randn(2, 2, 5, 5)
    cases = [
        (rl.nn.BatchNorm1d(4), (x,)),
        (rl.nn.Conv2d(2, 4, 3), (pictures,)),
        (rl.nn.MultiheadAttention(4, 2), (x, x, x)),
        (rl.nn.LSTM(4, 4), (x.view(2, 2, 4),)),
        (rl.nn.TransformerEncoderLayer(4, 2, 8), (x.view(2, 2, 4),)),
        (rl.nn.GroupNorm(2, 4), (x,)),
        (rl.nn.MaxPool2d(2), (pictures,)),
        (rl.nn.Upsample(scale_factor=2), (pictures,)),
    ]
    for plain, args in cases:
        net = distribute_module(copy.deepcopy(plain), mesh, shard_all)
        rl.manual_seed(2)
        want = plain(*args)
        rl.manual_seed(2)
        found = net(*[distribute_tensor(a, mesh, [Shard(0)]) for a in args])
        want, found = (v[0] if isinstance(v, tuple) else v for v in (want, found))
        close(found, want, plain)
        found.square().sum().backward() if found.requires_grad else None
        want.square().sum().backward() if want.requires_grad else None
        for p, q in zip(net.parameters(), plain.parameters()):
            close(p.grad, q.grad, plain)
    with rl.autocast("cpu", dtype=rl.bfloat16):
        assert (
            distribute_module(rl.nn.Linear(4, 4), mesh, shard_all)(distribute_tensor(x, mesh, [Shard(0)])).dtype
            is rl.bfloat16
        )


def shard_all(name: str, m: Any, mesh: Any) -> None:
    for key, p in list(m._parameters.items()):
        if p is not None:
            m.register_parameter(key, distribute_tensor(p, mesh, [Shard(0)]))


def autograd_functions(mesh: Any) -> None:
    """torch.autograd.grad and backward."""
    rl.manual_seed(1)
    a, b = rl.randn(4, 3), rl.randn(4, 3)
    x, y = (
        distribute_tensor(a, mesh, [Shard(0)]).requires_grad_(),
        distribute_tensor(b, mesh, [Shard(1)]).requires_grad_(),
    )
    g, none = rl.autograd.grad((x * y).sum(), [x, rl.ones(1, requires_grad=True)], allow_unused=True)
    assert none is None and g.placements == (Shard(0),)
    close(g, b)
    rl.autograd.backward([x * y], [distribute_tensor(rl.full((4, 3), 2.0), mesh, [Replicate()])])
    close(y.grad, 2 * a)


def _step(kind: Any, net: Any) -> None:
    weights = [p for p in net.parameters() if p.ndim == 2]
    o = kind(weights, lr=0.1)
    for p in weights:
        p.grad = rl.ones_like(p)
    o.step()


def a_rank_dies(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    mesh = init_device_mesh("cpu", (size,))
    x = distribute_tensor(rl.ones(4, 4), mesh, [Shard(0)])
    if rank == 1:
        os._exit(0)
    x.full_tensor()


class Block(rl.nn.Module):
    """A transformer's block, whose attention counts its heads by what it is given."""

    def __init__(self, width: int = 16, head: int = 4) -> None:
        super().__init__()
        self.head = head
        self.norm1, self.norm2 = rl.nn.LayerNorm(width), rl.nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (rl.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = rl.nn.Linear(width, 32), rl.nn.Linear(32, width)

    def heads(self, x: Any) -> Any:
        return x.view(x.shape[0], x.shape[1], -1, self.head).transpose(1, 2)

    def attention(self, x: Any) -> Any:
        out = F.scaled_dot_product_attention(
            self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x)), is_causal=True
        )
        return self.o(out.transpose(1, 2).flatten(2))

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Net(rl.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        rl.manual_seed(4)
        self.embed, self.layers, self.norm, self.head = (
            rl.nn.Embedding(12, 16),
            rl.nn.ModuleList(Block() for _ in range(2)),
            rl.nn.LayerNorm(16),
            rl.nn.Linear(16, 12),
        )

    def forward(self, x: Any) -> Any:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def tensor_parallel(rank: int, size: int, path: str) -> None:
    """Megatron's plan, with and without a sequence that is cut as well, and the loss on cut classes."""
    from rushlight.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        PrepareModuleOutput,
        RowwiseParallel,
        SequenceParallel,
        loss_parallel,
        parallelize_module,
    )

    start(rank, size, path)
    mesh = init_device_mesh("cpu", (size,), mesh_dim_names=("tp",))
    plain = Net()
    simple = parallelize_module(
        Net(),
        mesh,
        {
            "layers.*.q": ColwiseParallel(),
            "layers.*.k": ColwiseParallel(),
            "layers.*.v": ColwiseParallel(),
            "layers.*.o": RowwiseParallel(),
            "layers.*.up": ColwiseParallel(),
            "layers.*.down": RowwiseParallel(),
            "embed": ColwiseParallel(output_layouts=Replicate()),
        },
    )
    colwise = ColwiseParallel
    plan = {
        "embed": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "layers.*.norm1": SequenceParallel(),
        "layers.*.norm2": SequenceParallel(),
        "layers.*": PrepareModuleInput(input_layouts=Shard(1), desired_input_layouts=Shard(1)),
        "norm": SequenceParallel(),
        **{f"layers.*.{n}": colwise(input_layouts=Shard(1)) for n in ("q", "k", "v", "up")},
        "layers.*.o": RowwiseParallel(output_layouts=Shard(1), use_local_output=False),
        "layers.*.down": RowwiseParallel(output_layouts=Shard(1), use_local_output=False),
        "head": colwise(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False),
    }
    sequence = parallelize_module(Net(), mesh, plan)
    for name in ("q", "up"):
        assert (
            getattr(sequence.layers[0], name).weight.to_local().shape[0]
            == getattr(plain.layers[0], name).weight.shape[0] // size
        )
    assert sequence.embed.weight.to_local().numel() == plain.embed.weight.numel() // size and sequence.layers[
        1
    ].down.bias.placements == (Replicate(),)
    nets = (plain, simple, sequence)
    optimizers = [
        rl.optim.SGD(n.parameters(), lr=0.3, momentum=0.9) for n in nets
    ]  # AdamW would blow up the rounding of gradients that are 0 (k.bias)
    rl.manual_seed(rank)  # inputs are the same on all ranks, and nothing else is drawn
    rl.manual_seed(5)
    for step in range(3):
        x, y = rl.randint(0, 12, (2, 8)), rl.randint(0, 12, (16,))
        losses = [F.cross_entropy(n(x).flatten(0, 1), y) for n in nets[:2]]
        with loss_parallel():
            out = sequence(x)
            assert out.placements == (Shard(2),)
            losses.append(F.cross_entropy(out.flatten(0, 1), y))
        for loss, o in zip(losses, optimizers):
            close(loss, losses[0], step)
            loss.backward()
            o.step()
            o.zero_grad()
    for n in nets[1:]:
        for (name, p), q in zip(plain.named_parameters(), n.parameters()):
            close(q.full_tensor() if isinstance(q, DTensor) else q, p.detach(), name)
    out = parallelize_module(
        rl.nn.Linear(4, 4), mesh, PrepareModuleOutput(output_layouts=Replicate(), desired_output_layouts=Shard(0))
    )(rl.ones(4, 4))
    assert out.shape == (4 // size, 4)
    raises(
        NotImplementedError,
        "only support nn.Linear and nn.Embedding",
        lambda: parallelize_module(rl.nn.LayerNorm(3), mesh, ColwiseParallel()),
    )
    raises(TypeError, "for parallelize_plan", lambda: parallelize_module(plain, mesh, 3))
    raises(
        AssertionError, "desired module inputs should not be None", lambda: PrepareModuleInput(input_layouts=Shard(0))
    )
    dist.destroy_process_group()
