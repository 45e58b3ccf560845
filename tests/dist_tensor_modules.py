"""What the processes of tests/test_distributed_tensor.py do with modules."""

from __future__ import annotations

from typing import Any

from dist_start import Net, close, raises, start

import rushlight as rl
import rushlight.distributed as dist
import rushlight.nn.functional as F
from rushlight.distributed.device_mesh import init_device_mesh
from rushlight.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor


def step_together(mesh: Any, plain: Any, net: Any, optimizers: Any, step: int) -> tuple[Any, Any]:
    """One step of both networks on the same data, which it returns: the same losses and norms."""
    rl.manual_seed(step)
    x = rl.randint(0, 10, (6, 4))
    y = rl.randint(0, 10, (6,))
    y[0] = -100
    state = rl.get_rng_state()
    loss = F.cross_entropy(plain(x).mean(1), y, label_smoothing=0.1)
    rl.set_rng_state(state)
    loss_ = F.cross_entropy(net(x).mean(1), distribute_tensor(y, mesh, [Shard(0)]), label_smoothing=0.1)
    close(loss_, loss, (optimizers[0], step))
    assert abs(loss_.item() - loss.item()) < 1e-5
    loss.backward()
    loss_.backward()
    norm, norm_ = (rl.nn.utils.clip_grad_norm_(m.parameters(), 0.5) for m in (plain, net))
    close(norm_, norm)
    for o in optimizers:
        o.step()
        o.zero_grad()
    return x, y


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
        assert isinstance(p, DTensor) and isinstance(p, rl.nn.Parameter) and p.is_leaf
        assert p.to_local().shape[0] <= -(-p.shape[0] // size)
    for kind, options in (
        (rl.optim.SGD, dict(lr=0.1, momentum=0.9)),
        (rl.optim.AdamW, dict(lr=0.01)),
        (rl.optim.RMSprop, dict(lr=0.01, momentum=0.5, centered=True)),
        (rl.optim.Adagrad, dict(lr=0.01)),
    ):
        a, b = kind(plain.parameters(), **options), kind(net.parameters(), **options)
        for step in range(3):
            x, y = step_together(mesh, plain, net, (a, b), step)
        for p, q in zip(plain.parameters(), net.parameters()):
            close(q, p.detach(), (kind, tuple(p.shape)))
        assert all(
            isinstance(v, DTensor) and v.placements == (Shard(0),)
            for s in b.state.values()
            for k, v in s.items()
            if k != "step"
        )
    classes_and_states(mesh, plain, net, x, y)
    autograd_functions(mesh)
    layers(mesh)
    raises(NotImplementedError, "Muon", lambda: _step(rl.optim.Muon, net))
    dist.destroy_process_group()


def classes_and_states(mesh: Any, plain: Any, net: Any, x: Any, y: Any) -> None:
    """Losses of cut classes, states, new parameters, writes."""
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
            distribute_module(rl.nn.Linear(4, 4), mesh,
                              shard_all)(distribute_tensor(x, mesh, [Shard(0)])).dtype is rl.bfloat16
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


def train_together(nets: Any, optimizers: Any) -> None:
    """Three steps of the plain network, of the cut one, and of that whose sequence
    is cut too: the same losses and parameters."""
    from rushlight.distributed.tensor.parallel import loss_parallel

    plain, _, sequence = nets
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


def sequence_plan() -> dict[str, Any]:
    """Megatron's plan with a sequence that is cut as well."""
    from rushlight.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        RowwiseParallel,
        SequenceParallel,
    )

    return {
        "embed": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
        "layers.*.norm1": SequenceParallel(),
        "layers.*.norm2": SequenceParallel(),
        "layers.*": PrepareModuleInput(input_layouts=Shard(1), desired_input_layouts=Shard(1)),
        "norm": SequenceParallel(),
        **{f"layers.*.{n}": ColwiseParallel(input_layouts=Shard(1)) for n in ("q", "k", "v", "up")},
        "layers.*.o": RowwiseParallel(output_layouts=Shard(1), use_local_output=False),
        "layers.*.down": RowwiseParallel(output_layouts=Shard(1), use_local_output=False),
        "head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False),
    }


def tensor_parallel(rank: int, size: int, path: str) -> None:
    """Megatron's plan, with and without a sequence that is cut as well, and the loss on cut classes."""
    from rushlight.distributed.tensor.parallel import (
        ColwiseParallel,
        PrepareModuleInput,
        PrepareModuleOutput,
        RowwiseParallel,
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
    sequence = parallelize_module(Net(), mesh, sequence_plan())
    for name in ("q", "up"):
        assert (
            getattr(sequence.layers[0], name).weight.to_local().shape[0]
            == getattr(plain.layers[0], name).weight.shape[0] // size
        )
    assert sequence.embed.weight.to_local().numel() == plain.embed.weight.numel() // size
    assert sequence.layers[1].down.bias.placements == (Replicate(),)
    nets = (plain, simple, sequence)
    optimizers = [
        rl.optim.SGD(n.parameters(), lr=0.3, momentum=0.9) for n in nets
    ]  # AdamW would blow up the rounding of gradients that are 0 (k.bias)
    rl.manual_seed(rank)  # inputs are the same on all ranks, and nothing else is drawn
    rl.manual_seed(5)
    train_together(nets, optimizers)
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
