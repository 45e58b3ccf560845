"""Short programs that random ones came down to, where the libraries once disagreed:
each runs under both, compared line by line."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import pytest

import rushlight

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch")

import program_strategy as programs

FOUND = {
    "a view made without gradients of a view whose history is ambiguous": """
        v0 = torch.tensor([[0.5, -2.5, 3.0], [-0.5, -1.5, 3.0]], requires_grad=True)
        v5 = v0.pow(-1)
        v6 = v5.unbind(1)[0]
        v5.triu_(1)
        with torch.no_grad(): v9 = v6[-2, None]""",
    "requires_grad of a view that was written without gradients": """
        v0 = torch.tensor([[[1.0, 0.0]], [[0.0, -2.5]]], requires_grad=True)
        with torch.no_grad(): v2 = v0.view([2, 2])
        v4 = v2 @ v2
        with torch.no_grad(): v2.copy_(v4)
        v2.requires_grad = True""",
    "the history is asked for before the type": """
        v1 = torch.tensor([[-0.5, 0.5, 0.0], [0.5, 1.5, -2.5]], requires_grad=True)
        v2 = v1.frac()
        v5 = v2.split(1, 0)[0]
        with torch.no_grad(): v2.mul_(-1)
        v8 = v5 | v5""",
    "the type is asked for where there is no gradient": """
        v2 = torch.tensor([[complex(-0.5, -0.5), complex(3.0, 1.0)]], requires_grad=True)
        v5 = v2.roll(1, -2)
        with torch.no_grad(): v6 = v5.view([1, 2])
        v5[None, :, ...] = 1
        v11 = -1 > v6""",
    "the gradient of zeros has no history": """
        v0 = torch.tensor([-2.5, -2.0, 1.0], dtype=torch.float64, requires_grad=True)
        v2 = torch.lerp(v0, v0, 0.5)
        v2.zero_()
        v8 = torch.autograd.grad(v2.pow(2).sum(), v0, create_graph=True)[0].contiguous()""",
    "the gradient of a shape that stays is a view": """
        v2 = torch.tensor([[-1.0, -1.0], [0.5, 0.0]], requires_grad=True)
        v5 = v2.reshape([2, 2])
        v12 = torch.autograd.grad(v5.pow(2).sum(), v2)[0].contiguous()
        v12.put_(torch.tensor([3, 2, 0, 1]), v2)""",
    "a power keeps its result whichever gradient is wanted": """
        v2 = torch.tensor([3.0, 2.0, 1.0], requires_grad=True)
        v5 = torch.tensor(-5, dtype=torch.int8)
        v6 = v2 ** v5
        v9 = v6[torch.tensor([True, True, False])]
        v6.abs_()
        v9.sum().backward()""",
    "an expanded dimension of one element steps over the rest": """
        v0 = torch.tensor([[True, False, True], [False, True, False]])
        v4 = v0.expand([1, -1, 3])
        v5 = v4[::2]
        v4.mul_(v5)""",
    "an expanded vector is written with a view of itself": """
        v1 = torch.tensor([-5, 0])
        v4 = v1.expand([1, -1])
        v5 = v1.view([1, 2])
        v4.copy_(v5)""",
    "softmax of turned half precision": """
        v0 = torch.tensor([[-0.5, 1.0, 2.0], [-1.5, -3.0, 2.0], [0.5, -1.5, 0.0], [-1.0, -1.0, -1.0]], dtype=torch.bfloat16)
        v0.t_()
        v2 = v0.softmax(0)
        v3 = v0.log_softmax(-1)""",
    "a product of half precision is no view": """
        v0 = torch.tensor([[-3.0], [-3.0]], dtype=torch.float16, requires_grad=True)
        v3 = v0.prod(0, keepdim=True)
        with torch.no_grad(): v5 = v3.view([1])
        v6 = torch.zeros((2, 0), dtype=torch.float16).prod(-2)""",
    "a view as the same type is another tensor": """
        v0 = torch.tensor([[4, 6, 4], [6, 4, 4]], dtype=torch.uint8)
        v2 = v0.view(torch.uint8)
        v2.unsqueeze_(2)
        v3 = torch.tensor([1.0, 2.0], requires_grad=True)
        v4 = v3.view(torch.float32)""",
    "elements equal to the median share its gradient": """
        v0 = torch.tensor([[2.0, 2.0], [1.0, 2.0]], requires_grad=True)
        v0.median().backward()
        v1 = torch.tensor([1.0, 2.0, float("nan"), 2.0], requires_grad=True)
        v1.nanmedian().backward()
        v2 = torch.tensor([1.0, float("nan"), float("nan")], requires_grad=True)
        v2.median().backward()""",
    "the history of each operand of lerp is asked for": """
        v1 = torch.tensor([[-3.0, -2.5, 0.0], [0.0, -2.0, 2.5]], requires_grad=True)
        v4 = v1 * 2
        v5 = v4.norm(dim=(0, -1), keepdim=True)
        with torch.no_grad(): v6 = v4.view([-1, 3])
        v4.add_(1)
        v7 = torch.lerp(v5, v6, 0.5)""",
    "a roll joins two parts": """
        v2 = torch.tensor([[[0.0, -2.5]], [[-1.0, 1.0]]], requires_grad=True)
        v13 = torch.stack([v2, v2], 0).transpose(-1, -3)
        v14 = v13.roll(1, 3)
        v15 = v13.roll((1, 0, 3), (3, 2, 0))
        (v14 * v14 + v15).sum().backward()""",
    "where() of a real and a complex operand": """
        v0 = torch.tensor([[-2.5], [2.5]], requires_grad=True)
        v1 = torch.tensor(complex(2.0, 1.5), requires_grad=True)
        v2 = torch.where(torch.tensor([False, True]), v0.detach(), v1)
        v2.abs().sum().backward()""",
    "a result is kept though no operand takes a gradient": """
        v1 = torch.tensor([[-2.0, 0.5, 0.0], [2.5, 0.5, 1.5]], requires_grad=True)
        with torch.no_grad(): v4 = v1[:1]
        v5 = torch.hypot(torch.tensor([[-5, 3, 1]]), v4)
        v5.mul_(2)
        v5.sum().backward()""",
    "what gradients of one operand name is not kept for nobody": """
        v1 = torch.tensor([[-2.0, 0.5, 0.0], [2.5, 0.5, 1.5]], requires_grad=True)
        with torch.no_grad(): v4 = v1[:1]
        v5 = v4.clone().detach()
        v6 = v4 * v5
        v5.mul_(2)
        v6.sum().backward()
        v7 = v4.sin()
        v4.data.mul_(2)
        v7.sum().backward()""",
    "a product's gradient is a quotient of what is there": """
        v0 = torch.tensor([-0.5, 2.0], dtype=torch.float64, requires_grad=True)
        v6 = v0.prod(-1)
        v7 = v0.cumprod(0)
        v0.data.add_(1.5)
        v6.backward()
        v7.sum().backward()""",
    "gradients by results of reductions": """
        v0 = torch.tensor([[-0.5, 2.0, 1.0], [0.5, 3.0, -1.0]], requires_grad=True)
        v1 = v0.logsumexp(0)
        v2 = v0.std(1)
        v3 = v0.var(0)
        v4 = v0.norm()
        v5 = v0.clamp(-1, 1)
        v0.data.mul_(-0.5)
        v1.sum().backward()
        v2.sum().backward()
        v3.sum().backward()
        v4.sum().backward()
        v5.sum().backward()
        v6 = v0.std(False)""",
    "an operand of another type is written by NumPy": """
        v1 = torch.tensor([[-1, 2, -4]], dtype=torch.int8)
        v2 = v1.sum()
        v3 = torch.tensor([[-1.5, -1.0], [-0.5, 2.5]], dtype=torch.float16, requires_grad=True)
        v5 = torch.maximum(v2, v3)
        v6 = v1[0, :2] * v3
        a10 = v2.view([-1]).numpy()
        a10[...] = 1
        a11 = v1.numpy()
        a11[...] = 3
        v5.sum().backward()
        v6.sum().backward()""",
    "gradients of vectors in products are no views": """
        v1 = torch.tensor([-2.0, 2.0, -3.0], requires_grad=True)
        v2 = torch.arange(12.).reshape(2, 2, 3)
        v3 = torch.autograd.grad((v2 @ v1).sum(), v1)[0].contiguous()
        v3.mul_(v1)
        v4 = torch.autograd.grad((v1 @ v1).sum(), v1)[0].contiguous()
        v4.mul_(v1)
        v5 = torch.autograd.grad((v1 @ v2.mT).sum(), v1)[0].contiguous()
        v5.mul_(v1)""",
    "addmm of half precision reads its matrices as they are": """
        v0 = torch.tensor([[-3.0, 1.5], [1.0, 2.0]], dtype=torch.float16, requires_grad=True)
        v4 = torch.addmm(v0.ceil(), v0, v0.t())
        v0.data.fill_(3)
        v4.sum().backward()""",
    "a view keeps its gradient when its base is written": """
        v5 = torch.zeros(2)
        v1 = torch.tensor(-2.5, requires_grad=True)
        v7 = v5.narrow(0, 0, 2)
        v8 = v5.reshape([2])
        v7[torch.tensor([0])] = v1
        v7.retain_grad()
        v8[...] = torch.tensor(3)
        v9 = torch.autograd.grad(v7.sum(), v1, create_graph=True)[0]
        v7.sum().backward()""",
    "no part of nothing": """
        v0 = torch.zeros((2, 0), requires_grad=True)
        v9 = v0 * 2
        v11 = v9.split(1, 0)[0]
        v9.t_()
        v13 = v11.unbind(-1)""",
    "the gradient of an empty vector in a cat": """
        v0 = torch.tensor([], dtype=torch.complex64, requires_grad=True)
        v4 = torch.cat([v0, v0], 0)
        v4.abs().sum().backward(create_graph=True)
        v10 = v0.grad * 1""",
    "a product copies batches that are not evenly spaced": """
        v2 = torch.tensor([[-1.5], [-3.0]], requires_grad=True)
        v6 = torch.arange(12.).reshape(2, 3, -1, 2).contiguous(memory_format=torch.channels_last)
        v8 = v2 @ v6
        v9 = (v6 * 1).requires_grad_() @ v2.t()
        v6[None] = v6 * v6
        v8.sum().backward()
        v9.sum().backward()""",
    "an expanded view is filled": """
        v1 = torch.tensor([-3.0, 2.0, 1.5], requires_grad=True)
        v10 = (v1 * 2).sum()[...].expand([2, 1, 2])
        v10.fill_(-1.5)
        v10.sum().backward()""",
    "zero to a complex power": """
        v0 = torch.tensor([complex(1, 1), complex(-1, 1), complex(2, 0), complex(0, 0)], requires_grad=True)
        v1 = torch.tensor([False, True, False, False]) ** v0
        v1.abs().sum().backward()
        v2 = torch.tensor([1.0, -1.0, 0.0], requires_grad=True)
        v3 = 0 ** v2
        v3.sum().backward()""",
    "an operand of another type is written through data": """
        v0 = torch.tensor([[-1.0, 2.0]], requires_grad=True)
        v1 = torch.tensor([[-4]])
        v2 = v1 * v0
        v3 = torch.tensor(-2.5, requires_grad=True)
        v4 = torch.addcmul(v0.detach().half().requires_grad_(), v3, v3, value=2)
        v1.data.fill_(1)
        v3.data.fill_(2)
        v2.sum().backward()
        v4.sum().backward()
        v5 = torch.tensor([[-1.5], [0.0]], requires_grad=True)
        v6 = v5.cumprod(1)
        v5.data.fill_(3)
        v6.sum().backward()""",
    "half precision seen as float64": """
        v1 = torch.tensor([[2.5, -1.5, -2.0], [-2.0, 2.0, 2.5]], dtype=torch.bfloat16)
        v5 = v1.softmax(-1)
        v11 = v5.to(torch.float64)
        v2 = torch.tensor([[0.5, 0.0, -0.5], [-0.5, -0.5, -1.5]], dtype=torch.bfloat16).logsumexp(-1).double()
        v3 = torch.tensor([[3.0], [-1.5]], dtype=torch.float16).softmax(0).double()""",
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    lines = [line.strip() for line in FOUND[name].strip().splitlines()]
    assert programs.disagreement(lines, torch, rushlight, True) is None


@pytest.mark.parametrize("text", ["x.expand(2, 1, 1)", "x.expand(1, -1)", "x.reshape(1, 3)", "x.ravel()",
                                  "torch.atleast_3d(x)", "x.flip(0)", "x.sort(0)[0]"])
def test_strides_of_single_elements(text: str) -> None:
    for sizes, strides in (((3,), (1,)), ((1,), (0,)), ((1, 3), (1, 1)), ((), ()), ((3,), (0,))):
        found = []
        for lib in (torch, rushlight):
            x = lib.arange(4.0).as_strided(sizes, strides)
            try:
                found.append(eval(text, {"torch": lib, "x": x}).stride())
            except (RuntimeError, IndexError):
                found.append("error")
        assert found[0] == found[1], (sizes, strides)


def test_strides_of_rolled_images() -> None:
    """Each dimension is rolled by joining its two parts, and those decide the layout."""
    chosen = random.Random(7)
    for _ in range(300):
        shape = [chosen.choice((1, 1, 2, 3)) for _ in range(chosen.choice((3, 4, 4, 5)))]
        order = chosen.sample(range(len(shape)), len(shape))
        dims = tuple([chosen.randrange(len(shape)) for _ in range(chosen.choice((1, 1, 2, 3)))])
        shifts = tuple([chosen.randint(-4, 4) for _ in dims])
        found = []
        for lib in (torch, rushlight):
            x = lib.arange(float(math.prod(shape))).reshape(shape).permute(order).requires_grad_()
            y = x.roll(shifts, dims)
            slope, = lib.autograd.grad((y * y).sum(), x)
            found.append((y.tolist(), y.stride(), slope.tolist(), slope.stride(), y.grad_fn.name()))
        assert found[0] == found[1], (shape, order, shifts, dims)


@pytest.mark.parametrize("kept", ["int8", "float32", "float16", "float64"])
def test_a_backward_pass_is_not_taken_for_one_with_another_type(kept: str) -> None:
    for dtype in (kept, "float64", kept):
        scalar = rushlight.full((), 4, dtype=getattr(rushlight, dtype))
        half = rushlight.full((2,), 3.0, dtype=rushlight.float16).requires_grad_()
        product = scalar * half
        product.sum().backward()
        assert half.grad.tolist() == [4.0, 4.0]
