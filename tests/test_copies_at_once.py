"""`copy_` of values that are computed already happens at once: what was recorded before reads the old ones, later plans find the new."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight import nn
from rushlight.exec.stats import stats
from rushlight.tensor.state import state


def pending() -> int:
    return len(state.graph.nodes)


def computed(*shape: int) -> rl.Tensor:
    t = rl.randn(*shape)
    t.tolist()
    return t


def test_nothing_is_pending_and_every_view_sees_it():
    rl.zeros(1).item()
    t, src = computed(3, 4), computed(3, 4)
    row, version = t[1], t._version
    assert t.copy_(src) is t and not pending()
    assert t.tolist() == src.tolist() and row.tolist() == src[1].tolist() and t._version == version + 1


def test_what_was_recorded_before_reads_the_old_values():
    t, src = computed(2000), computed(2000)
    old, given_ = t.numpy().copy(), src.numpy().copy()
    t, src = rl.tensor(old), rl.tensor(given_)
    y = t * 2
    t.copy_(src)
    src.add_(1)
    z = t * 2
    np.testing.assert_array_equal(y.numpy(), old * 2)
    np.testing.assert_array_equal(z.numpy(), given_ * 2)
    np.testing.assert_array_equal(src.numpy(), given_ + 1)


def test_memory_is_used_again_where_nobody_else_has_it():
    t, src = computed(5000), computed(5000)
    before = t.data_ptr()
    t.copy_(src)
    assert t.data_ptr() == before
    alias = t.detach().clone()
    alias.tolist()
    np.testing.assert_array_equal(alias.numpy(), src.numpy())


def test_memory_shared_with_numpy_receives_the_values():
    array = np.zeros(4, np.float32)
    t = rl.from_numpy(array)
    t.copy_(computed(4).fill_(3).add_(0))
    t.copy_(rl.tensor([1., 2, 3, 4]))
    assert array.tolist() == [1, 2, 3, 4]
    shown = computed(4)
    seen = shown.numpy()
    shown.copy_(t)
    assert seen.tolist() == [1, 2, 3, 4]


def test_autograd_is_told():
    t, w = computed(3), rl.ones(3, requires_grad=True)
    y = (t * w).sum()
    t.copy_(computed(3))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        w.copy_(t)
    kept = rl.ones(3, requires_grad=True) * 1
    kept.copy_(t)
    assert kept.grad_fn is not None and kept.grad_fn.name() == "CopyBackwards"
    a = computed(3)
    a.copy_(w)
    assert a.requires_grad


def test_a_loaded_model_has_one_plan():
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 5)).eval()
    states, net, x = model().state_dict(), model(), computed(7, 20)
    for t in states.values():
        t.tolist()
    net.load_state_dict(states)
    with rl.no_grad():
        first = net(x)
        first.tolist()
        built = stats.plans_built
        again = net(x)
        again.tolist()
    assert stats.plans_built == built
    assert first.tolist() == again.tolist()


def test_a_loop_with_unread_values_gets_its_plan():
    x, read = computed(6), []
    built = None
    for i in range(20):
        unread = (x + 1).exp()
        y = (x * i).sum()
        del unread
        read.append(y.item())
        built = stats.plans_built if i == 12 else built
    assert stats.plans_built == built
    np.testing.assert_allclose(read, [i * x.numpy().sum() for i in range(20)], rtol=1e-5)


def test_an_error_beside_unread_values_leaves_the_rest():
    table, places = computed(4, 2), rl.tensor([0, 9])
    places.tolist()
    for _ in range(2):
        unread = table * 3
        kept = table + 1
        bad = rl.nn.functional.embedding(places * 1, table)
        del unread
        with pytest.raises(IndexError):
            bad.tolist()
        np.testing.assert_array_equal(kept.numpy(), table.numpy() + 1)


def test_traces_record_copies():
    def f(x):
        buffer = rl.zeros(3)
        buffer.copy_(x)
        return buffer + 1
    traced = rl.jit.trace(f, (computed(3),))
    assert traced(rl.tensor([1., 2, 3])).tolist() == [2, 3, 4]
    mapped = rl.vmap(lambda x: rl.zeros(3).add(x).copy_(x))(computed(4, 3))
    assert mapped.shape == (4, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=4), st.permutations(range(4)), st.permutations(range(4)),
       st.sampled_from([rl.float32, rl.float64, rl.int64, rl.bool, rl.bfloat16, rl.complex64]), st.booleans())
def test_any_layout_and_type(shape, order, other, dtype, whole):
    n = len(shape)
    order, other = [d for d in order if d < n], [d for d in other if d < n]

    def lying(order, kind):
        made = (rl.randn([shape[d] for d in order]) * 3).to(kind)
        made = made if whole else rl.cat([made.reshape(-1), made.reshape(-1)])[made.numel():].view(made.shape)
        return made.permute([order.index(d) for d in range(n)])
    t, src = lying(order, dtype), lying(other, dtype)
    src.tolist(), t.tolist()
    base = t
    t.copy_(src)
    assert base.tolist() == src.tolist() and base.stride() == t.stride()
