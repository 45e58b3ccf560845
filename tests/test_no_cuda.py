"""torch.cuda, torch.backends and their like on a machine without GPUs: what programs ask gets PyTorch's answer."""

from __future__ import annotations

from typing import Any

import pytest

import rushlight

torch = pytest.importorskip("torch")
if torch.cuda.is_available():
    pytest.skip("the oracle has a GPU here", allow_module_level=True)

ASKED = """cuda.is_available() cuda.device_count() cuda.current_device() cuda.synchronize() cuda.set_device(-1)
    cuda.empty_cache() cuda.manual_seed(1) cuda.manual_seed_all(1) cuda.seed_all() cuda.memory_allocated()
    cuda.max_memory_allocated() cuda.memory_reserved() cuda.max_memory_reserved() cuda.memory_stats()
    cuda.get_device_name() cuda.get_device_name(0) cuda.get_device_capability() cuda.get_device_properties(0)
    cuda.is_bf16_supported() cuda.is_initialized() cuda.init() cuda.Stream() cuda.Event(enable_timing=True)
    cuda.current_stream() cuda.device(0).__enter__() cuda.stream(None).__enter__() cuda.get_rng_state()
    cuda.get_rng_state_all() cuda.set_rng_state_all([]) cuda.initial_seed() cuda.mem_get_info() cuda.get_arch_list()
    cuda.FloatTensor(3) cuda.device_of(torch.zeros(1)).__enter__() backends.cudnn.is_available()
    backends.cudnn.version() backends.cudnn.enabled backends.cudnn.benchmark backends.cudnn.deterministic
    backends.cudnn.allow_tf32 backends.cuda.matmul.allow_tf32 backends.cuda.is_built() backends.cuda.flash_sdp_enabled()
    backends.mps.is_available() backends.mps.is_built() backends.mkldnn.enabled backends.opt_einsum.is_available()
    mps.manual_seed(1) mps.synchronize() mps.empty_cache() xpu.is_available() xpu.device_count()
    accelerator.is_available() accelerator.current_accelerator() accelerator.device_count() version.cuda version.hip
    version.debug cpu.is_available() cpu.device_count() cpu.current_device()""".split()


def answer(module: Any, question: str) -> Any:
    try:
        return eval(f"torch.{question}", {"torch": module})
    except Exception as e:
        return type(e)


@pytest.mark.parametrize("question", ASKED)
def test_the_answer_is_pytorchs(question: str) -> None:
    assert answer(rushlight, question) == answer(torch, question)


def test_the_error_says_what_to_do() -> None:
    with pytest.raises(AssertionError,
                       match=r"Torch not compiled with CUDA enabled.*guard with torch\.cuda\.is_available\(\)"):
        rushlight.cuda.synchronize()


@pytest.mark.parametrize("module", [rushlight, torch], ids=["rushlight", "torch"])
def test_switches_are_remembered(module: Any) -> None:
    cudnn = module.backends.cudnn
    if module is torch:  # PyTorch's test utilities freeze the switches for the whole process
        with torch.backends.__allow_nonbracketed_mutation():
            _switches(module, cudnn)
    else:
        _switches(module, cudnn)


def _switches(module: Any, cudnn: Any) -> None:
    cudnn.benchmark = True
    with cudnn.flags(enabled=False, deterministic=True):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (False, False, True)
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, True, False)
    cudnn.benchmark = False
    module.backends.cuda.matmul.allow_tf32 = True
    assert module.backends.cuda.matmul.allow_tf32
    module.backends.cuda.matmul.allow_tf32 = False


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AttributeError, match=r"rushlight does not provide torch\.backends\.nothing"):
        _ = rushlight.backends.nothing


def test_arguments_are_those_of_pytorch() -> None:
    for call in (lambda c: c.manual_seed(), lambda c: c.memory_allocated(0, 1),
                 lambda c: c.empty_cache(1), lambda c: c.can_device_access_peer(0)):
        for lib in (torch, rushlight):
            with pytest.raises(TypeError):
                call(lib.cuda)
    assert rushlight.cuda.memory_allocated(device="cuda:0") == 0 and rushlight.cuda.manual_seed(seed=3) is None
