"""What the processes of tests/test_distributed_fsdp.py do with states and files."""

from __future__ import annotations

from typing import Any

from dist_fsdp_functions import ADAM, BLOCKS, FSDP, batches, loss_of, same, train
from dist_start import Net, close, start

import rushlight as rl
import rushlight.distributed as dist
from rushlight.distributed.fsdp import FullStateDictConfig, StateDictType, fully_shard
from rushlight.distributed.fsdp.wrap import always_wrap_policy
from rushlight.distributed.tensor import DTensor, Shard


def saving(rank: int, size: int, path: str) -> None:
    """state_dict and optim_state_dict of all kinds, in and out; whole parameters for the program."""
    start(rank, size, path)
    data = batches(size)
    plain = Net()
    reference = train(plain, ADAM, data, None)
    for orig in (True, False):
        net = FSDP(Net(), auto_wrap_policy=BLOCKS, use_orig_params=orig)
        optimizer = train(net, ADAM, data, rank)
        for kind in (StateDictType.FULL_STATE_DICT, StateDictType.SHARDED_STATE_DICT):
            with FSDP.state_dict_type(net, kind):
                state, ostate = net.state_dict(), FSDP.optim_state_dict(net, optimizer)
                same(state, plain, kind)
                if kind is StateDictType.SHARDED_STATE_DICT:
                    assert all(isinstance(v, DTensor) for v in state.values())
                for name, p in plain.named_parameters():
                    for key, v in reference.state[p].items():
                        close(ostate["state"][name][key], v, (kind, name, key))
                other = FSDP(Net(), auto_wrap_policy=always_wrap_policy, use_orig_params=not orig)
                FSDP.set_state_dict_type(other, kind)
                with rl.no_grad():
                    for p in other.parameters():
                        p.zero_()
                assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
                again = ADAM(other.parameters())
                again.load_state_dict(FSDP.optim_state_dict_to_load(other, again, ostate))
                FSDP.set_state_dict_type(other, StateDictType.FULL_STATE_DICT)
                same(other.state_dict(), plain, ("loaded", kind, orig))
                x, y = data[0][0][rank * 2 : rank * 2 + 2], data[0][1][rank * 2 : rank * 2 + 2]
                for n, o in ((net, optimizer), (other, again)):
                    if n is other:
                        loss_of(n, x, y).backward()
                        o.step()
            FSDP.set_state_dict_type(net, StateDictType.FULL_STATE_DICT)
        twin = Net()
        twin.load_state_dict(plain.state_dict())
        twin_optimizer = ADAM(twin.parameters())
        twin_optimizer.load_state_dict(reference.state_dict())
        loss_of(twin, *data[0]).backward()
        twin_optimizer.step()
        same(other.state_dict(), twin, "a step after loading")
        with FSDP.state_dict_type(
            net, StateDictType.FULL_STATE_DICT, FullStateDictConfig(offload_to_cpu=True, rank0_only=True)
        ):
            state = net.state_dict()
            assert len(state) == (len(plain.state_dict()) if rank == 0 else 0)
        whole_parameters(net, plain, orig)
    dist.destroy_process_group()


def whole_parameters(net: Any, plain: Any, orig: bool) -> None:
    """Whole parameters for the program, read and written, and states of pieces."""
    with FSDP.summon_full_params(net):
        assert [n for n, _ in net.named_parameters()] == [n for n, _ in plain.named_parameters()]
        for p, q in zip(net.parameters(), plain.parameters()):
            close(p.detach(), q.detach())
        with rl.no_grad():
            net.head.bias.fill_(3.0)
    assert net.state_dict()["head.bias"].tolist() == [3.0] * 12
    with FSDP.summon_full_params(net, writeback=False), rl.no_grad():
        net.head.bias.fill_(4.0)
    assert net.state_dict()["head.bias"].tolist() == [3.0] * 12
    names = [n for n, _ in net.named_parameters()]
    assert names == [n for n, _ in plain.named_parameters()] if orig else all("_flat_param" in n for n in names)
    if not orig:
        with FSDP.state_dict_type(net, StateDictType.LOCAL_STATE_DICT):
            local = net.state_dict()
            net.load_state_dict(local)
        assert all(k.endswith("_flat_param") for k in local)


def sharded(**options: Any) -> Any:
    net = Net()
    for layer in net.layers:
        fully_shard(layer, **options)
    return fully_shard(net, **options)


def checkpoints(rank: int, size: int, path: str) -> None:
    """distributed.checkpoint of sharded models, read with other placements, by wrapped and plain models."""
    import rushlight.distributed.checkpoint as dcp
    from rushlight.distributed.checkpoint.format_utils import dcp_to_torch_save
    from rushlight.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

    start(rank, size, path)
    data, folder = batches(size), path + ".checkpoint"
    plain = Net()
    reference = train(plain, ADAM, data, None)
    loss_of(plain, *data[0]).backward()
    reference.step()

    def finish(net: Any, optimizer: Any) -> None:
        loss_of(net, *[t[rank * 2 : rank * 2 + 2] for t in data[0]]).backward()
        optimizer.step()
        same(get_state_dict(net, optimizer)[0], plain)

    net = sharded()
    optimizer = train(net, ADAM, data, rank)
    model_state, optim_state = get_state_dict(net, optimizer)
    dcp.save({"model": model_state, "optim": optim_state, "step": 3}, checkpoint_id=folder)
    others = [
        sharded(shard_placement_fn=lambda p: Shard(p.ndim - 1)),
        FSDP(Net(), auto_wrap_policy=BLOCKS, use_orig_params=True),
    ]
    for other in others:
        with rl.no_grad():
            for p in other.parameters():
                p.zero_()
        again = ADAM(other.parameters())
        model_state, optim_state = get_state_dict(other, again)
        state = {"model": model_state, "optim": optim_state, "step": 0}
        dcp.load(state, checkpoint_id=folder)
        assert state["step"] == 3
        set_state_dict(other, again, model_state_dict=state["model"], optim_state_dict=state["optim"])
        finish(other, again)
    # whole states, by way of rank 0
    whole = get_state_dict(net, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    assert all(len(w) == (0 if rank else len(w)) for w in whole) and (rank or whole[0]["head.weight"].shape == (12, 16))
    last = sharded()
    again = ADAM(last.parameters())
    set_state_dict(
        last,
        again,
        model_state_dict=whole[0],
        optim_state_dict=whole[1],
        options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True),
    )
    finish(last, again)
    if rank == 0:
        dcp_to_torch_save(folder, path + ".pt")
        found = rl.load(path + ".pt")
        assert found["model"]["head.weight"].shape == (12, 16) and found["step"] == 3
        target = {"model": Net().state_dict()}
        dcp.load(target, checkpoint_id=folder, no_dist=True)
        close(target["model"]["head.weight"], found["model"]["head.weight"])
    finish(net, optimizer)
    dist.destroy_process_group()
