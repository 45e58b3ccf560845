"""What is wrong with the history of an operand is said before what is wrong with the call, as in PyTorch."""

from __future__ import annotations

import pytest

import rushlight

torch = pytest.importorskip("torch")

CALLS = [
    "x.sum(7)", "x.mean(7)", "x.amax(7)", "x.max(7)", "x.min(dim=7)", "x.cumsum(7)", "x.cummax(7)", "x.softmax(7)",
    "x.log_softmax(7)", "x.logsumexp(7)", "x.std(7)", "x.var(7)", "x.norm(dim=7)", "x.prod(7)", "x.nansum(7)", "x.sort(7)",
    "x.argsort(7)", "x.topk(1, 7)", "x.kthvalue(1, 7)", "x.median(7)", "x.roll(1, 7)", "x.flip(7)", "x.flip((0, 7))",
    "x.transpose(0, 7)", "x.permute(0, 7)", "x.diagonal(0, 0, 7)", "torch.diag_embed(x, 0, 7)", "x.unbind(7)",
    "x.split(1, 7)", "x.squeeze(7)", "x.unsqueeze(7)", "x.unfold(7, 1, 1)", "torch.cat([x, x], 7)", "torch.stack([x, x], 7)",
    "x.select(7, 0)", "x.rot90(1, (0, 7))", "x.index_select(7, torch.tensor([0]))", "x.gather(7, torch.tensor([[0]]))",
    # composed of others, which look at their arguments first
    "x.any(7)", "x.all(7)", "x.argmax(7)", "x.narrow(7, 0, 1)", "x.chunk(2, 7)", "x.tensor_split(2, 7)", "x.movedim(0, 7)",
    "x.count_nonzero(7)", "x.flatten(0, 7)",
    # nobody asks for a history
    "x.argmax()", "x.argmin(0)", "torch.zeros(2, 3, dtype=torch.bool).copy_(x)", "torch.zeros(2, 3, dtype=torch.int64).copy_(x)",
    "x.detach().sum(7)", "x.isfinite()", "x.isnan()", "x.clamp(0, 1)", "x.clamp()",
]


def outcome(lib: object, text: str, dtype: str, recording: bool) -> str:
    x = lib.ones(2, 3, dtype=getattr(lib, dtype), requires_grad=True) * 2
    with lib.no_grad():
        view = x[...]
    x.mul_(2)
    try:
        with lib.set_grad_enabled(recording):
            eval(text, {"torch": lib, "x": view})
    except Exception as e:
        return f"{type(e).__name__}{' of the history' * ('A view was created in no_grad mode' in str(e))}"
    return "fine"


@pytest.mark.parametrize("text", CALLS)
def test_errors_of_a_view_without_a_history(text: str) -> None:
    for recording in (True, False):
        assert outcome(rushlight, text, "float32", recording) == outcome(torch, text, "float32", recording)


WRITES = ["z[0] = x", "z[:] = x", "z[0, :] = x[0]", "z[:1] = x", "z.copy_(x)", "z[:1].copy_(x)",
          "z[...] = x", "z.add_(x)", "z[0] = x.detach()", "z.data[:1] = x"]


@pytest.mark.parametrize("text", WRITES)
@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64", "bool"])
def test_a_view_without_a_history_is_written_elsewhere(text: str, dtype: str) -> None:
    def outcome(lib: object) -> object:
        x = lib.ones(1, 3, requires_grad=True) * 2
        with lib.no_grad():
            view = x[...]
        x.mul_(2)
        z = lib.ones(2, 3, dtype=getattr(lib, dtype))
        try:
            exec(text, {"z": z, "x": view})
        except RuntimeError as e:
            return "A view was created in no_grad mode" in str(e), z._version
        return z.tolist(), z.requires_grad, z._version
    assert outcome(rushlight) == outcome(torch)


@pytest.mark.parametrize("text", ["x.frac()", "x.clamp(0, 1)", "x.floor()", "x.sign()", "x.max()", "x.median()"])
def test_types_that_a_function_lacks(text: str) -> None:
    assert outcome(rushlight, text, "complex64", True) == outcome(torch, text, "complex64", True)


@pytest.mark.parametrize("text", ["x.roll(1, -1)", "x.unbind(0)", "x.diagonal()", "x.sum(-2)", "torch.diag_embed(x)"])
def test_numbers(text: str) -> None:
    def of_a_number(lib: object) -> str:
        x = lib.ones((), requires_grad=True) * 2
        with lib.no_grad():
            view = x[...]
        x.mul_(2)
        with pytest.raises(Exception) as caught:
            eval(text, {"torch": lib, "x": view})
        return caught.type.__name__
    assert of_a_number(rushlight) == of_a_number(torch)
