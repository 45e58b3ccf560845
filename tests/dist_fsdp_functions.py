"""What the processes of tests/test_distributed_fsdp.py do."""

from __future__ import annotations

import functools
import os
from typing import Any

from dist_start import Block, Net, close, raises, start

import rushlight as rl
import rushlight.distributed as dist
import rushlight.nn.functional as F
from rushlight.distributed.device_mesh import init_device_mesh
from rushlight.distributed.fsdp import (CPUOffload, FSDPModule, FullStateDictConfig, FullyShardedDataParallel,
                                        MixedPrecision, MixedPrecisionPolicy, ShardingStrategy, StateDictType,
                                        fully_shard, register_fsdp_forward_method)
from rushlight.distributed.fsdp.wrap import (CustomPolicy, ModuleWrapPolicy, always_wrap_policy, enable_wrap,
                                             size_based_auto_wrap_policy, transformer_auto_wrap_policy, wrap)
from rushlight.distributed.tensor import DTensor, Shard

FSDP = FullyShardedDataParallel
BLOCKS = functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={Block})


def batches(size: int, steps: int = 3) -> Any:
    rl.manual_seed(5)
    return [(rl.randint(0, 12, (size * 2, 6)), rl.randint(0, 12, (size * 2, 6))) for _ in range(steps)]


def loss_of(net: Any, x: Any, y: Any) -> Any:
    return F.cross_entropy(net(x).flatten(0, 1).float(), y.flatten())


def train(net: Any, kind: Any, data: Any, rank: int | None, steps: int = 3, clip: bool = False) -> Any:
    """Some steps on the whole batches, or on this rank's part of them; the optimizer."""
    optimizer = kind(net.parameters())
    for x, y in data[:steps]:
        if rank is not None:
            x, y = x[rank * 2 : rank * 2 + 2], y[rank * 2 : rank * 2 + 2]
        loss_of(net, x, y).backward()
        if clip:
            (
                net.clip_grad_norm_
                if isinstance(net, FSDP)
                else functools.partial(rl.nn.utils.clip_grad_norm_, list(net.parameters()))
            )(0.3)
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


SGD = functools.partial(rl.optim.SGD, lr=0.3, momentum=0.9)
ADAM = functools.partial(rl.optim.AdamW, lr=0.01, eps=1e-2)


def same(state: dict[str, Any], plain: Any, what: Any = "") -> None:
    want = plain.state_dict()
    assert list(sorted(state)) == list(sorted(want)), (what, list(state))
    for k, v in want.items():
        close(state[k], v, (what, k))


def local_numel(net: Any) -> int:
    return sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in net.parameters())


def wrapped(rank: int, size: int, path: str) -> None:
    """FullyShardedDataParallel trains as one process does, whatever the strategy."""
    start(rank, size, path)
    data = batches(size)
    plain = Net()
    whole = sum(p.numel() for p in plain.parameters())
    train(plain, SGD, data, None, clip=True)
    cases = [
        dict(auto_wrap_policy=BLOCKS),
        dict(auto_wrap_policy=BLOCKS, use_orig_params=True),
        dict(sharding_strategy=ShardingStrategy.SHARD_GRAD_OP, auto_wrap_policy=BLOCKS),
        dict(sharding_strategy=ShardingStrategy.NO_SHARD, use_orig_params=True),
        dict(auto_wrap_policy=functools.partial(size_based_auto_wrap_policy, min_num_params=300)),
        dict(
            auto_wrap_policy=ModuleWrapPolicy({Block, rl.nn.Embedding}),
            cpu_offload=CPUOffload(offload_params=True),
            use_orig_params=True,
        ),
        dict(auto_wrap_policy=always_wrap_policy),
    ]
    for options in cases if size == 2 else cases[:2]:
        net = FSDP(Net(), **options)
        sharded = options.get("sharding_strategy") is not ShardingStrategy.NO_SHARD
        assert local_numel(net) <= (whole // size + 1) + 30 if sharded else local_numel(net) == whole, (
            options,
            local_numel(net),
        )
        optimizer = train(net, SGD, data, rank, clip=True)
        assert all(v["momentum_buffer"].numel() == p.numel() for p, v in optimizer.state.items())
        same(net.state_dict(), plain, options)
    if size == 4:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
        net = FSDP(
            Net(),
            device_mesh=mesh,
            sharding_strategy=ShardingStrategy.HYBRID_SHARD,
            auto_wrap_policy=BLOCKS,
            use_orig_params=True,
        )
        assert local_numel(net) <= whole // 2 + 30
        train(net, SGD, data, rank, clip=True)
        same(net.state_dict(), plain, "hybrid")
    dist.destroy_process_group()


def accumulation_and_checkpointing(rank: int, size: int, path: str) -> None:
    from rushlight.distributed.algorithms._checkpoint.checkpoint_wrapper import (
        apply_activation_checkpointing,
        checkpoint_wrapper,
    )

    start(rank, size, path)
    data = batches(size)
    plain = Net()
    optimizer = SGD(plain.parameters())
    for x, y in data[:2]:
        (loss_of(plain, x, y) / 2).backward()
    optimizer.step()
    mine = [(x[rank * 2 : rank * 2 + 2], y[rank * 2 : rank * 2 + 2]) for x, y in data]
    for orig in (True, False):
        net = FSDP(Net(), auto_wrap_policy=BLOCKS, use_orig_params=orig)
        optimizer = SGD(net.parameters())
        with net.no_sync():
            (loss_of(net, *mine[0]) / 2).backward()
        (loss_of(net, *mine[1]) / 2).backward()
        optimizer.step()
        same(net.state_dict(), plain, ("no_sync", orig))
    net = Net()
    for layer in net.layers:
        fully_shard(layer)
    fully_shard(net)
    optimizer = SGD(net.parameters())
    net.set_requires_gradient_sync(False)
    (loss_of(net, *mine[0]) / 2).backward()
    net.set_requires_gradient_sync(True)
    (loss_of(net, *mine[1]) / 2).backward()
    optimizer.step()
    same(net.state_dict(), plain, "set_requires_gradient_sync")
    plain = Net()
    train(plain, SGD, data, None)
    net = FSDP(Net(), auto_wrap_policy=BLOCKS)
    apply_activation_checkpointing(
        net, checkpoint_wrapper_fn=checkpoint_wrapper, check_fn=lambda m: isinstance(m, Block)
    )
    train(net, SGD, data, rank)
    same(net.state_dict(), plain, "checkpoint within")
    net = Net()
    for i, layer in enumerate(net.layers):
        net.layers[i] = fully_shard(checkpoint_wrapper(layer))
    fully_shard(net)
    train(net, SGD, data, rank)
    same(
        {k.replace("_checkpoint_wrapped_module.", ""): v for k, v in net.state_dict().items()},
        plain,
        "fully_shard of checkpointed",
    )
    dist.destroy_process_group()


def in_place(rank: int, size: int, path: str) -> None:
    """fully_shard trains as one process does."""
    start(rank, size, path)
    data = batches(size)
    plain = Net()
    whole = sum(p.numel() for p in plain.parameters())
    train(plain, ADAM, data, None, clip=True)
    meshes = [None] + ([init_device_mesh("cpu", (2, 2), mesh_dim_names=("r", "s"))] if size == 4 else [])
    for mesh in meshes:
        for reshard in (None, False) if mesh is None and size == 2 else (None,):
            net = Net()
            for layer in net.layers:
                fully_shard(layer, mesh=mesh, reshard_after_forward=reshard)
            assert fully_shard(net, mesh=mesh, reshard_after_forward=reshard) is net
            assert (
                isinstance(net, FSDPModule)
                and isinstance(net, Net)
                and type(net).__name__ == "FSDPNet"
                and isinstance(net.layers[0], FSDPModule)
            )
            shards = size if mesh is None or mesh.ndim == 1 else 2
            assert local_numel(net) <= whole // shards + 12 * size, local_numel(net)
            assert all(isinstance(p, DTensor) and p.placements[-1] == Shard(0) for p in net.parameters())
            optimizer = train(net, ADAM, data, rank, clip=True)
            assert all(isinstance(v["exp_avg"], DTensor) for v in optimizer.state.values())
            same(net.state_dict(), plain, (mesh, reshard))
    again = Net()
    fully_shard(again, shard_placement_fn=lambda p: Shard(1) if p.ndim == 2 else None)
    assert again.head.weight.placements == (Shard(1),)
    again.load_state_dict(net.state_dict() if net.head.weight.device_mesh.ndim == 1 else plain.state_dict())
    same(again.state_dict(), plain)
    again.unshard()
    assert not isinstance(again.head.weight, DTensor) and again.head.weight.shape == (12, 16)
    again.reshard()
    assert isinstance(again.head.weight, DTensor)
    again.predict = None
    again.__dict__.pop("predict")
    Net.predict = lambda self, x: self.head(self.norm(self.embed(x))).argmax(-1)  # type: ignore[attr-defined]
    register_fsdp_forward_method(again, "predict")
    assert rl.equal(again.predict(data[0][0]), plain.predict(data[0][0])) and isinstance(again.head.weight, DTensor)
    with rl.no_grad():
        close(again(data[0][0]), plain(data[0][0]).detach())
    raises(AssertionError, "can only be applied to a module once", lambda: fully_shard(again))
    raises(AssertionError, "FSDP does not support deepcopy", lambda: __import__("copy").deepcopy(again))
    raises(ValueError, "do not implement forward", lambda: fully_shard(rl.nn.ModuleList()))
    scalar = rl.nn.Linear(2, 2)
    scalar.s = rl.nn.Parameter(rl.tensor(1.0))
    raises(ValueError, "doesn't support scalar parameters", lambda: fully_shard(scalar))
    dist.destroy_process_group()


def freed(rank: int, size: int, path: str) -> None:
    """Whole parameters are gone between forward and backward, and after it."""
    start(rank, size, path)
    seen: list[Any] = []

    class Layer(rl.nn.Linear):
        def forward(self, x: Any) -> Any:
            seen.append(self.weight)
            return super().forward(x).tanh()

    net = rl.nn.Sequential(*[Layer(6, 6) for _ in range(3)])
    for layer in net:
        fully_shard(layer)
    fully_shard(net)
    out = net(rl.ones(2, 6))
    assert all(w.shape == (6, 6) for w in seen)
    raises(RuntimeError, "this parameter is sharded at the moment", lambda: seen[0].sum().item())
    out.sum().backward()
    for w in seen:
        raises(RuntimeError, "this parameter is sharded at the moment", lambda w=w: w.sum().item())
    assert all(p.grad is not None and p.grad.to_local().numel() == p.to_local().numel() for p in net.parameters())
    data = batches(size)
    frozen_and_unused(rank, data)
    mixed_precision(rank, data)
    dist.destroy_process_group()


def frozen_and_unused(rank: int, data: Any) -> None:
    """Parameters without gradients stay as they are, and do not hold up the others."""
    nets = [Net() for _ in range(3)]
    for n in nets:
        rl.manual_seed(7)
        n.extra = rl.nn.Linear(3, 3)
        n.embed.weight.requires_grad_(False)
        for p in n.layers[0].parameters():
            p.requires_grad_(False)
    plain, first, second = nets
    first = FSDP(first, auto_wrap_policy=BLOCKS, use_orig_params=True)
    for layer in second.layers:
        fully_shard(layer)
    fully_shard(second)
    train(plain, SGD, data, None)
    for n in (first, second):
        train(n, SGD, data, rank)
        same(n.state_dict(), plain, type(n))
    assert second.extra.weight.grad is None


def mixed_precision(rank: int, data: Any) -> None:
    """Computation in bfloat16, parameters and optimizer in float32."""
    kinds: list[Any] = []
    low, half = Net(), Net()
    low.head.register_forward_hook(lambda m, args, out: kinds.append((args[0].dtype, m.weight.dtype, out.dtype)))
    half.head.register_forward_hook(lambda m, args, out: kinds.append((args[0].dtype, m.weight.dtype, out.dtype)))
    low = FSDP(
        low, auto_wrap_policy=BLOCKS, mixed_precision=MixedPrecision(param_dtype=rl.bfloat16, reduce_dtype=rl.float32)
    )
    fully_shard(half, mp_policy=MixedPrecisionPolicy(param_dtype=rl.bfloat16, output_dtype=rl.float32))
    for n in (low, half):
        train(n, SGD, data, rank)
        assert all(p.dtype is rl.float32 for p in n.parameters())
    assert set(kinds) == {(rl.bfloat16,) * 3} and half(data[0][0]).dtype is rl.float32
    reference = Net()
    train(reference, SGD, data, None)
    for k, v in reference.state_dict().items():
        for n in (low, half):
            got = n.state_dict()[k]
            got = got.full_tensor() if isinstance(got, DTensor) else got
            assert rl.allclose(got, v, atol=0.05), k


def wrapping(rank: int, size: int, path: str) -> None:
    """Who is wrapped, and what is said about wrong options."""
    start(rank, size, path)
    assert len(FSDP.fsdp_modules(FSDP(Net(), auto_wrap_policy=BLOCKS))) == 3
    assert (
        len(FSDP.fsdp_modules(FSDP(Net(), auto_wrap_policy=CustomPolicy(lambda m: isinstance(m, rl.nn.Embedding)))))
        == 2
    )
    with enable_wrap(wrapper_cls=FSDP, use_orig_params=True):
        assert isinstance(wrap(rl.nn.Linear(2, 2)), FSDP)
    assert not isinstance(wrap(rl.nn.Linear(2, 2)), FSDP)
    ignoring = Net()
    net = FSDP(ignoring, ignored_modules=[ignoring.head], use_orig_params=True)
    assert net.head.weight.shape == (12, 16)
    rl.manual_seed(rank)
    module = rl.nn.Linear(4, 4)
    net = FSDP(module, sync_module_states=True, use_orig_params=True)
    rl.manual_seed(0)
    same(net.state_dict(), rl.nn.Linear(4, 4))
    assert net.check_is_root() and net.out_features == 4
    tied = Net()
    tied.head.weight = rl.nn.Parameter(rl.randn(12, 16))
    tied.embed.weight = tied.head.weight
    a = FSDP(tied, auto_wrap_policy=BLOCKS)
    state = a.state_dict()
    assert rl.equal(state["embed.weight"], state["head.weight"]) and state["embed.weight"].shape == (12, 16)
    tied = Net()
    tied.embed.weight = tied.head.weight
    raises(ValueError, "must lie in one unit", lambda: FSDP(tied, auto_wrap_policy=ModuleWrapPolicy({rl.nn.Embedding})))
    raises(ValueError, "there is no device", lambda: FSDP(rl.nn.Linear(2, 2), device_id=0))
    raises(
        NotImplementedError,
        "keep_low_precision_grads",
        lambda: FSDP(rl.nn.Linear(2, 2), mixed_precision=MixedPrecision(keep_low_precision_grads=True)),
    )
    frozen = rl.nn.Linear(2, 2)
    frozen.weight.requires_grad_(False)
    raises(ValueError, "uniform `requires_grad` when `use_orig_params=False`", lambda: FSDP(frozen))
    raises(RuntimeError, "should only be called on the root", lambda: _inner_clip())
    raises(
        RuntimeError,
        "Expected state_dict_config of type",
        lambda: FSDP.set_state_dict_type(a, StateDictType.SHARDED_STATE_DICT, FullStateDictConfig()),
    )
    calls = []

    def hook(state: Any, grad: Any, out: Any) -> None:
        calls.append(state)
        dist.reduce_scatter_tensor(out, grad)
        out.div_(size)

    data, plain = batches(size), Net()
    net = FSDP(Net(), auto_wrap_policy=BLOCKS)
    net.register_comm_hook("s", hook)
    train(plain, SGD, data, None)
    train(net, SGD, data, rank)
    same(net.state_dict(), plain, "hook")
    assert calls == ["s"] * 9
    dist.destroy_process_group()


def _inner_clip() -> None:
    net = FSDP(Net(), auto_wrap_policy=BLOCKS)
    net.check_is_root()
    net.layers[0].clip_grad_norm_(1.0)


def with_tensor_parallel(rank: int, size: int, path: str) -> None:
    """Two dimensions: layers cut by tensor parallelism, and their pieces by data parallelism."""
    from rushlight.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    start(rank, size, path)
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    plain, net = Net(), Net()
    plan = {
        "layers.*.q": ColwiseParallel(),
        "layers.*.k": ColwiseParallel(),
        "layers.*.v": ColwiseParallel(),
        "layers.*.o": RowwiseParallel(),
        "layers.*.up": ColwiseParallel(),
        "layers.*.down": RowwiseParallel(),
    }
    parallelize_module(net, mesh["tp"], plan)
    for layer in net.layers:
        fully_shard(layer, mesh=mesh["dp"])
    fully_shard(net, mesh=mesh["dp"])
    assert net.layers[0].q.weight.to_local().shape == (4, 16) and net.layers[0].o.weight.to_local().shape == (8, 8)
    data = batches(2)
    train(plain, SGD, data, None)
    train(net, SGD, data, mesh.get_local_rank("dp"))
    same(net.state_dict(), plain)
    dist.destroy_process_group()


def a_rank_dies(rank: int, size: int, path: str) -> None:
    start(rank, size, path)
    net = FSDP(Net(), auto_wrap_policy=BLOCKS)
    loss = loss_of(net, *batches(1)[0])
    if rank == 1:
        os._exit(0)
    loss.backward()
