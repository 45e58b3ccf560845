"""nn.init: the same numbers as PyTorch from the same seed."""

from __future__ import annotations

import pytest
from nn_oracle import both, both_fail

CASES = [
    "uniform_(t, -1, 3)",
    "normal_(t, 1, 2)",
    "trunc_normal_(t)",
    "trunc_normal_(t, std=0.02)",
    "trunc_normal_(t, 0, 1, 1.5, 2.0)",
    "trunc_normal_(t, 3.0, 0.5, -1.0, 1.0)",
    "constant_(t, 0.3)",
    "ones_(t)",
    "zeros_(t)",
    "xavier_uniform_(t, gain=2)",
    "xavier_normal_(t)",
    "kaiming_uniform_(t, a=0.1)",
    "kaiming_normal_(t, mode='fan_out', nonlinearity='relu')",
]
SHAPES = [(3, 4), (17, 5), (2, 3, 4, 5), (40, 40)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_bits(case, shape):
    def fill(lib):
        t = lib.empty(*shape)
        result = eval(f"init.{case}", {"init": lib.nn.init, "t": t})
        return t, result is t, lib.rand(1)

    both(fill, exact="trunc_normal_(t, 0, 1, 1.5" not in case)


@pytest.mark.parametrize(
    "case",
    [
        "eye_(lib.empty(3, 5))",
        "dirac_(lib.empty(4, 3, 3))",
        "dirac_(lib.empty(6, 2, 3, 5), 3)",
        "sparse_(lib.empty(7, 4), 0.4)",
    ],
)
def test_structured(case):
    both(lambda lib: eval(f"lib.nn.init.{case}", {"lib": lib}), exact=True)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (3, 2, 4)])
def test_orthogonal(shape):
    both(lambda lib: (lib.nn.init.orthogonal_(lib.empty(*shape), gain=2.0), lib.rand(1)))


def test_generator_is_used():
    def fill(lib):
        generator = lib.Generator()
        generator.manual_seed(5)
        return lib.nn.init.kaiming_normal_(lib.empty(20, 3), generator=generator), lib.rand(2)

    both(fill, exact=True)


def test_parameters_stay_parameters():
    def fill(lib):
        p = lib.nn.Parameter(lib.empty(3, 3))
        lib.nn.init.normal_(p)
        return p.requires_grad, p.is_leaf, p.grad_fn

    both(fill)


@pytest.mark.parametrize("args", [("linear",), ("tanh",), ("relu",), ("leaky_relu",), ("leaky_relu", 0.5), ("selu",)])
def test_gain(args):
    both(lambda lib: float(lib.nn.init.calculate_gain(*args)))


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.nn.init.calculate_gain("swish"),
        lambda lib: lib.nn.init.calculate_gain("leaky_relu", True),
        lambda lib: lib.nn.init.xavier_uniform_(lib.empty(3)),
        lambda lib: lib.nn.init.kaiming_uniform_(lib.empty(3, 3), mode="fan"),
        lambda lib: lib.nn.init.eye_(lib.empty(3)),
        lambda lib: lib.nn.init.dirac_(lib.empty(3, 3)),
        lambda lib: lib.nn.init.dirac_(lib.empty(3, 3, 3), groups=2),
        lambda lib: lib.nn.init.orthogonal_(lib.empty(3)),
        lambda lib: lib.nn.init.sparse_(lib.empty(3), 0.1),
    ],
)
def test_errors(call):
    both_fail(call)


def test_old_names_warn():
    import rushlight

    with pytest.warns(FutureWarning, match="`nn.init.kaiming_normal` is now deprecated"):
        rushlight.nn.init.kaiming_normal(rushlight.empty(2, 2))


def test_empty_tensor_warns():
    import rushlight

    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        rushlight.nn.init.kaiming_uniform_(rushlight.empty(0, 2))
