"""Distillation and half precision."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl
from rushlight import compress, nn


def test_the_loss_is_its_formula():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    a, b, t = rng.standard_normal((5, 4)).astype(np.float32), rng.standard_normal((5, 4)).astype(
        np.float32), rng.integers(0, 4, 5)
    F = torch.nn.functional
    s, w = torch.from_numpy(a), torch.from_numpy(b)
    soft = F.kl_div(F.log_softmax(s / 3, 1), F.softmax(w / 3, 1), reduction="batchmean") * 9
    expected = 0.7 * soft + 0.3 * F.cross_entropy(s, torch.from_numpy(t))
    mine = rl.tensor(a, requires_grad=True)
    loss = compress.distillation_loss(mine, rl.tensor(b), rl.tensor(t), temperature=3, alpha=0.7)
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    loss.backward()
    s = torch.from_numpy(a).requires_grad_()
    soft = F.kl_div(F.log_softmax(s / 3, 1), F.softmax(w / 3, 1), reduction="batchmean") * 9
    (0.7 * soft + 0.3 * F.cross_entropy(s, torch.from_numpy(t))).backward()
    assert np.allclose(mine.grad.numpy(), s.grad.numpy(), atol=1e-6)
    assert compress.distillation_loss(mine, mine).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_refuses():
    x = rl.zeros(2, 3)
    with pytest.raises(ValueError, match="temperature must be positive"):
        compress.distillation_loss(x, x, temperature=0)
    with pytest.raises(ValueError, match="alpha"):
        compress.distillation_loss(x, x, alpha=2)
    with pytest.raises(ValueError, match="one shape"):
        compress.distillation_loss(x, rl.zeros(2, 4))


def test_a_student_learns_the_answers_and_the_features():
    rl.manual_seed(0)
    teacher = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3))
    student = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 3))
    data = [(rl.randn(32, 1, 6, 6), rl.randint(0, 3, (32,))) for _ in range(4)]
    matching = compress.FeatureMatching(student, teacher, {"1": "1"})
    student(data[0][0]), teacher(data[0][0])
    first = matching()
    assert first.item() > 0 and len(list(matching.parameters())) == 1
    optimizer = rl.optim.Adam([*student.parameters(), *matching.parameters()], 0.02)
    seen = []
    losses = compress.distill(student, teacher, data, optimizer, epochs=12, alpha=1.0, matching=matching,
                              report=lambda e, v: seen.append((e, v)))
    assert losses[-1] < 0.7 * losses[0] and seen == list(enumerate(losses))
    student(data[0][0]), teacher(data[0][0])
    assert matching().item() < first.item() and teacher[0].weight.grad is None
    matching.close()
    with pytest.raises(RuntimeError, match="run the student"):
        matching()
    with pytest.raises(ValueError, match="no module '9'; it has 0, 1, 2, 3"):
        compress.FeatureMatching(student, teacher, {"9": "1"})


@pytest.mark.parametrize("dtype, tolerance", [(rl.bfloat16, 2e-2), (rl.float16, 2e-3)])
def test_half_precision_ships_half_the_bytes(dtype, tolerance):
    rl.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3),
                        nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 10)).eval()
    small = compress.half_copy(net, dtype)
    assert small[0].weight.dtype is dtype and small[1].running_var.dtype is rl.float32
    assert net[0].weight.dtype is rl.float32
    assert compress.saved_bytes(small) < 0.56 * compress.saved_bytes(net)
    x = rl.randn(2, 3, 8, 8)
    again = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3),
                          nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 10)).eval()
    again.load_state_dict(small.state_dict())
    a, b = net(x).detach().numpy(), again(x).detach().numpy()
    assert 0 < np.abs(a - b).max() < tolerance
    computed = net.to(dtype)(x.to(dtype))
    assert computed.dtype is dtype and np.abs(computed.detach().float().numpy() - a).max() < 3 * tolerance
    with pytest.raises(ValueError, match="half precision is"):
        compress.half_copy(net, rl.float64)
