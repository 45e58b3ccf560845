"""Calls in forms that PyTorch deprecated long ago and still takes (rushlight.tensor.functions.older_forms)."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import rushlight as rl


def numbers(lib):
    return lib.arange(1, 7, dtype=lib.float32).reshape(2, 3)


CALLS = {
    "add_(alpha, other)": lambda L, x: x.add_(-0.1, x * 2),
    "add(alpha, other)": lambda L, x: x.add(2, x),
    "torch.add(input, alpha, other)": lambda L, x: L.add(x, 2, x),
    "add(alpha, number)": lambda L, x: x.add(2, 3),
    "sub_(alpha, other)": lambda L, x: x.sub_(0.5, x * 2),
    "torch.sub(input, alpha, other)": lambda L, x: L.sub(x, 2, x),
    "addcmul_(value, ...)": lambda L, x: x.addcmul_(0.5, x + 1, x),
    "torch.addcmul(input, value, ...)": lambda L, x: L.addcmul(x, 0.5, x, x),
    "addcdiv_(value, ...)": lambda L, x: x.addcdiv_(-0.5, x + 1, x),
    "torch.addcdiv(input, value, ...)": lambda L, x: L.addcdiv(x, 0.5, x, x),
    "addmm(beta, alpha, ...)": lambda L, x: x[:, :2].addmm(0.5, 2.0, x, x.t()),
    "addmm(beta, ...)": lambda L, x: x[:, :2].addmm(0.5, x, x.t()),
    "addmm_(beta, alpha, ...)": lambda L, x: x[:, :2].clone().addmm_(1, -2, x, x.t()),
    "torch.addmm(beta, input, alpha, ...)": lambda L, x: L.addmm(0.5, x[:, :2], 2, x, x.t()),
    "torch.addmm(beta, input, ...)": lambda L, x: L.addmm(0.5, x[:, :2], x, x.t()),
    "torch.addmv": lambda L, x: L.addmv(0.5, x[:, 0], 2, x, x[0]),
    "torch.addr": lambda L, x: L.addr(0.5, x, 2, x[:, 0], x[0]),
    "torch.baddbmm": lambda L, x: L.baddbmm(0.5, x[None, :, :2], 2, x[None], x.t()[None]),
    "torch.baddbmm(beta, input, ...)": lambda L, x: L.baddbmm(0.5, x[None, :, :2], x[None], x.t()[None]),
    "torch.addbmm": lambda L, x: L.addbmm(0.5, x[:, :2], 2, x[None], x.t()[None]),
    "squeeze(0, 1)": lambda L, x: x[None, None].squeeze(0, 1),
    "squeeze_(0, 1)": lambda L, x: x[None, None].squeeze_(0, 1),
    "squeeze(dim=)": lambda L, x: x[None, None].squeeze(dim=(0, 1)),
    "squeeze(axis=)": lambda L, x: x[None].squeeze(axis=0),
    "broadcast_to(2, 3)": lambda L, x: x[0].broadcast_to(2, 3),
    "count_nonzero(0, 1)": lambda L, x: x.count_nonzero(0, 1),
    "hsplit(1, 2)": lambda L, x: x.hsplit(1, 2)[1],
    "vsplit(1)": lambda L, x: x.vsplit(1)[0],
    "vsplit(1, 2)": lambda L, x: x.vsplit(1, 2)[1],
}


@pytest.mark.parametrize("name", CALLS)
def test_older_forms_give_what_pytorch_gives(name):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings(action="ignore"):
        theirs = CALLS[name](torch, numbers(torch)).numpy()
        ours = CALLS[name](rl, numbers(rl)).numpy()
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_an_optimizer_of_that_time_computes_what_the_new_forms_do():
    """Adam as it was written for PyTorch 1.4."""
    grad = rl.tensor([1.0, -2.0, 3.0])
    old, new = rl.ones(3), rl.ones(3)
    m, v, n, w = (rl.zeros(3) for _ in range(4))
    with warnings.catch_warnings(action="ignore"):
        for _ in range(3):
            m.mul_(0.9).add_(0.1, grad)
            v.mul_(0.999).addcmul_(0.001, grad, grad)
            old.addcdiv_(-0.01, m, v.sqrt().add_(1e-8))
    for _ in range(3):
        n.mul_(0.9).add_(grad, alpha=0.1)
        w.mul_(0.999).addcmul_(grad, grad, value=0.001)
        new.addcdiv_(n, w.sqrt().add_(1e-8), value=-0.01)
    assert rl.equal(old, new) and not rl.equal(old, rl.ones(3))


def test_gradients_flow_through_older_forms():
    x, y = rl.ones(2, requires_grad=True), rl.ones(2, requires_grad=True)
    with warnings.catch_warnings(action="ignore"):
        rl.add(x, 3, y).sum().backward()
    assert x.grad.tolist() == [1, 1] and y.grad.tolist() == [3, 3]


@pytest.mark.parametrize("call", (lambda x: x.add(x, x), lambda x: x.add(1, 2, 3), lambda x: x.addcmul(x, 1, x),
                                  lambda x: x.addcmul(1, 2, 3), lambda x: rl.addmm(1, 2, 3, x, x),
                                  lambda x: rl.addmm(x, x, x, x), lambda x: x.addcmul(1, x, 2)))
def test_what_no_form_takes_is_refused(call):
    with pytest.raises(TypeError, match="received an invalid combination of arguments"):
        call(rl.ones(2, 2))


def test_each_function_warns_once_and_names_the_new_form():
    program = ("import rushlight as rl\nimport warnings\nx = rl.ones(2)\n"
               "with warnings.catch_warnings(record=True) as seen:\n    warnings.simplefilter('always')\n"
               "    x.add_(2, x)\n    x.add_(2, x)\n    x.addcmul_(2, x, x)\n"
               "for w in seen:\n    print(w.category.__name__, w.message)")
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.count("UserWarning This overload of") == 2
    assert "add(Number alpha, Tensor other)" in out and "add(Tensor other, *, Number alpha = 1)" in out
    assert "addcmul(Tensor tensor1, Tensor tensor2, *, Number value = 1)" in out
