"""autograd.graph and anomaly mode: hooks on saved tensors and on several gradients,
places in the graph, the user's line."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.autograd import graph


def leaf(*numbers: float) -> rl.Tensor:
    return rl.tensor(numbers, requires_grad=True)


# --- saved tensors ------------------------------------------------------------------------------------------------
def test_hooks_see_every_saved_tensor_and_give_it_back() -> None:
    seen: list[Any] = []
    x, y = leaf(1., 2.), leaf(3., 4.)

    def pack(t: rl.Tensor) -> np.ndarray[Any, Any]:
        seen.append(t.tolist())
        return t.detach().numpy() * 10

    def unpack(a: np.ndarray[Any, Any]) -> rl.Tensor:
        return rl.from_numpy(a / 10)
    with graph.saved_tensors_hooks(pack, unpack):
        z = x * y
    assert seen == [[3., 4.], [1., 2.]] or seen == [[1., 2.], [3., 4.]]
    z.sum().backward()
    assert x.grad.tolist() == [3., 4.] and y.grad.tolist() == [1., 2.]


def test_hooks_nest_and_end() -> None:
    order: list[str] = []

    def hooks(name: str) -> graph.saved_tensors_hooks:
        return graph.saved_tensors_hooks(lambda t: order.append(name) or t, lambda t: t)
    x = leaf(2.)
    with hooks("outer"):
        with hooks("inner"):
            x.sin()
        x.sin()
    x.sin()
    assert order == ["inner", "outer"]


def test_second_derivatives_go_through_unpacked_tensors() -> None:
    x = leaf(2.)
    with graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        y = (x ** 3).exp()
        (g,) = rl.autograd.grad(y.sum(), x, create_graph=True)
        (h,) = rl.autograd.grad(g.sum(), x)
    want = np.exp(8.) * (12. + 144.)
    np.testing.assert_allclose(h.item(), want, rtol=1e-5)


def test_unpack_must_return_a_tensor() -> None:
    x = leaf(2.)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: 3):
        y = x.sin()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor"):
        y.sum().backward()


def test_pack_may_not_write() -> None:
    x = leaf(2.)
    with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"), rl.no_grad(), rl.enable_grad(), \
            graph.saved_tensors_hooks(lambda t: t.detach().mul_(2), lambda t: t):
        x.sin()


def test_hooks_can_be_forbidden() -> None:
    with graph.disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match="not here"), \
            graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        pass
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        pass


def test_save_on_cpu_keeps_copies() -> None:
    x = leaf(1., 2.)
    with graph.save_on_cpu(pin_memory=True):
        w = x * 1
        y = w.sin()
    w.detach().zero_()  # the copy is what backward sees
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos([1., 2.]), rtol=1e-6)


def test_writes_after_saving() -> None:
    x = leaf(1., 2.)
    y = x * 1
    z = y.sin()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    with graph.allow_mutation_on_saved_tensors() as kept:
        y = x * 1
        z = y.sin()
        y.detach().zero_()
        z.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.cos([1., 2.]), rtol=1e-6)
        z = (x * 1).sin()
        kept.clear()
        with pytest.raises(AssertionError, match="outside of the 'allow_mutation_on_saved_tensors' context"):
            z.sum().backward()


# --- gradients ----------------------------------------------------------------------------------------------------
def test_multi_grad_hook_counts_what_this_pass_computes() -> None:
    a, b, c = leaf(1.), leaf(2.), leaf(3.)
    calls: list[Any] = []
    handle = graph.register_multi_grad_hook([a, b, c],
                                            lambda gs: calls.append([g if g is None else g.item() for g in gs]))
    (a * b).sum().backward()
    (a + b + c).sum().backward()
    (c * 5).sum().backward()
    assert calls == [[2., 1., None], [1., 1., 1.], [None, None, 5.]]
    handle.remove()
    a.sum().backward()
    assert len(calls) == 3


def test_multi_grad_hook_any_and_threads() -> None:
    a, b = leaf(1.), leaf(2.)
    calls: list[float] = []
    graph.register_multi_grad_hook([a, b], lambda g: calls.append(g.item()), mode="any")
    loss = (a * 3 + b * 3).sum()
    threads = [threading.Thread(target=lambda: loss.backward(retain_graph=True)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert calls == [3.] * 4
    with pytest.raises(ValueError, match="mode"):
        graph.register_multi_grad_hook([a], print, mode="some")


def test_gradient_edges_stand_for_tensors() -> None:
    x = leaf(2.)
    y = x * x
    z = y.exp()
    edge = graph.get_gradient_edge(y)
    assert isinstance(edge.node, graph.Node) and edge.node is y.grad_fn and edge.output_nr == 0
    del y
    (g,) = rl.autograd.grad(z, edge, retain_graph=True)
    np.testing.assert_allclose(g.item(), np.exp(4.), rtol=1e-6)
    (g,) = rl.autograd.grad(graph.get_gradient_edge(z), x, rl.ones(1))
    np.testing.assert_allclose(g.item(), 4 * np.exp(4.), rtol=1e-6)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(rl.ones(1))


def test_nodes_name_their_neighbours_and_keep_metadata() -> None:
    y = (leaf(2.) * 3).exp()
    node = y.grad_fn
    assert node.name() == "ExpBackward0" and node.next_functions[0][0].name() == "MulBackward0"
    leaf_node = node.next_functions[0][0].next_functions[0][0]
    assert leaf_node.name() == "AccumulateGrad" and leaf_node.variable.tolist() == [2.]
    node.metadata["mine"] = 1
    assert y.grad_fn.metadata == {"mine": 1}
    seen: list[Any] = []
    node.register_prehook(lambda gs: seen.append("before"))
    handle = node.register_hook(lambda gi, go: seen.append((gi[0].item(), go[0].item())))
    y.sum().backward()
    assert seen[0] == "before" and seen[1][1] == 1.
    handle.remove()


def test_post_accumulate_grad_hook_can_step_and_free() -> None:
    x = leaf(1., 2.)

    def step(p: rl.Tensor) -> None:
        with rl.no_grad():
            p -= 0.5 * p.grad
        p.grad = None
    handle = x.register_post_accumulate_grad_hook(step)
    (x * x).sum().backward()
    assert x.grad is None and x.tolist() == [0., 0.]
    handle.remove()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3., 3.]
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(step)


# --- anomaly mode -------------------------------------------------------------------------------------------------
def test_nan_names_the_users_line() -> None:
    x = leaf(-1.)
    with rl.autograd.detect_anomaly():
        y = x.sqrt()  # this line
        with pytest.raises(RuntimeError, match=r"Function 'SqrtBackward0' returned nan values in its 0th output\..*test_autograd_graph.py:\d+, "
                                               r"in `y = x.sqrt\(\)  # this line`"):
            y.sum().backward()


def test_errors_name_the_users_line() -> None:
    class Broken(rl.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ValueError("as it happens")
    with rl.autograd.set_detect_anomaly(True):
        y = Broken.apply(leaf(1.))
        with pytest.warns(UserWarning, match=r"Error detected in BrokenBackward.*`y = Broken.apply"), pytest.raises(
                ValueError, match="as it happens"):
            y.sum().backward()
    assert not rl.is_anomaly_enabled()


def test_check_nan_can_be_off() -> None:
    x = leaf(-1.)
    with rl.autograd.detect_anomaly(check_nan=False):
        assert rl.is_anomaly_enabled() and not rl.is_anomaly_check_nan_enabled()
        x.sqrt().sum().backward()
    assert np.isnan(x.grad.item())


def test_a_write_after_saving_names_the_line_that_saved() -> None:
    with rl.autograd.detect_anomaly():
        y = leaf(1.) * 1
        z = y.sin()
        y.detach().zero_()
        with pytest.warns(UserWarning), pytest.raises(
                RuntimeError, match=r"modified by an inplace operation.*recorded at test_autograd_graph.py"):
            z.sum().backward()


def _doubled(lib):
    w = lib.ones(3, requires_grad=True)
    return w, w * 2


@pytest.mark.parametrize("use", (lambda h, w: h * w, lambda h, w: h.pow(2), lambda h, w: h.double().addcmul(h, h)),
                         ids=("mul", "pow", "another dtype"))
def test_a_saved_tensor_must_not_be_detached_in_place(use):
    """PyTorch's rule: what was saved has lost its place in the graph."""
    w, h = _doubled(rl)
    y = use(h, w).sum()
    h.detach_()
    with pytest.raises(RuntimeError, match="saved tensor that has been detached in-place"):
        y.backward()
    w, h = _doubled(rl)
    y = use(h, w).sum()
    h.detach_().requires_grad_()
    with pytest.raises(RuntimeError, match="saved tensor that has been detached in-place"):
        y.backward()


def test_what_is_recorded_after_detaching_in_place_counts():
    """Backpropagation through time that is cut now and then, and operations that save nothing."""
    w = rl.full((3,), 0.5, requires_grad=True)
    h = rl.zeros(3)
    for i in range(6):
        h = (h * w + 1).tanh()
        if i % 2:
            h.sum().backward()
            h.detach_()
    assert w.grad.abs().min() > 0
    w, h = _doubled(rl)
    h.detach_()
    (h * w).sum().backward()
    assert w.grad.tolist() == [2, 2, 2]
    w, h = _doubled(rl)
    y = (h + w).sum()
    h.detach_()
    y.backward()
    assert w.grad.tolist() == [3, 3, 3]


def test_comparing_asks_for_no_history_of_a_view():
    """PyTorch converts operands of a comparison without recording it, so it may be one of several views of changed memory."""
    x = leaf(1., 2., 3.)
    part = x.unbind()[1]
    with rl.no_grad():
        x.mul_(2)
    assert (rl.tensor([3., 5.], dtype=rl.float16) <= part).tolist() == [True, False]
    with pytest.raises(RuntimeError, match="view and its base or another view of its base has been modified inplace"):
        part + 1
