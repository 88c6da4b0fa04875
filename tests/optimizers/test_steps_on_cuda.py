"""Steps on a GPU: compiled sums use all of it, and the host does not wait."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from every_optimizer import parameters

from optbench import config
from optbench.benches.stepping import contestants
from optbench.benches.stepping.counting import calls_of
from optbench.clipping import Clip
from optbench.config import RunConfig, imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.adam import AdamW
from optbench.optimizers.core.build import build
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.lamb import LAMB

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
ADAM = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "engine": "compiled"}


def seconds_of(kind: type[RuleOptimizer]) -> float:
    """Return the median seconds of a step on four million elements."""
    theta = torch.ones(1 << 22, device="cuda", requires_grad=True)
    theta.grad = torch.randn_like(theta)
    optimizer = kind([theta], **ADAM)
    optimizer.warm_up()
    assert optimizer.engine == "compiled"
    times = []
    for _ in range(30):
        torch.cuda.synchronize()
        began = time.perf_counter()
        optimizer.step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def test_lambs_sums_use_the_whole_device() -> None:
    """In one block of threads they would take hundreds of times as long as AdamW's step."""
    assert seconds_of(LAMB) < 10 * seconds_of(AdamW)


SHAPES = {
    "embedding": (110, 60),
    "matrix": (60, 50),
    "convolution": (4, 3, 2, 2),
    "norm": (5,),
    "bias": (),
    "head": (30, 5),
}


def problem_on_cuda() -> Problem:
    """Return parameters with gradients."""
    found = [Parameter(role, torch.randn(s, device="cuda").requires_grad_(), role) for role, s in SHAPES.items()]
    for parameter in found:
        parameter.tensor.grad = torch.randn_like(parameter.tensor)
    return Problem(tuple(found))


@contextmanager
def waits_raise() -> Iterator[None]:
    """Make every wait of the host an error."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("engine", ["eager", "compiled"])
@pytest.mark.parametrize("loaded", parameters("curvature", "closure"))
def test_an_optimizers_step_does_not_wait(loaded: RunConfig, engine: str) -> None:
    choice = loaded.optimizer
    if "engine" not in choice.settings and engine == "compiled":
        pytest.skip("only one engine")
    if choice.implementation.get("host_waits") or choice.about.get("host_waits"):
        pytest.skip("its step waits, as its file says")
    chosen = {name: value for name, value in {"engine": engine, "interval": 1}.items() if name in choice.settings}
    problem = problem_on_cuda()
    settings = {**choice.settings, **chosen}
    optimizer = build(imports.load(choice.target), settings, choice.implementation, problem, [])
    getattr(optimizer, "warm_up", lambda: None)()
    for _ in range(3):
        optimizer.step()
    with waits_raise():
        optimizer.step()


@pytest.mark.parametrize("name", config.options([config.packaged_folder()], "clip"))
def test_a_clip_does_not_wait(name: str) -> None:
    loaded, problem = config.load([f"clip={name}"]), problem_on_cuda()
    clip: Clip = imports.load(loaded.clip.target)(problem, **loaded.clip.settings)
    tensors = [parameter.tensor for parameter in problem.parameters]
    clip(tensors)
    with waits_raise():
        clip(tensors)


def test_a_fused_step_is_a_few_kernels_and_no_wait() -> None:
    found = contestants.contestants(config.load(["optimizer=adamw"]).optimizer, "resnet18", torch.device("cuda"), [])
    counted = {(one.implementation, one.engine): calls_of(one.step, torch.device("cuda"), one.engine) for one in found}
    fused, compiled, eager = (
        counted[key] for key in (("torch", "fused"), ("optbench", "compiled"), ("optbench", "eager"))
    )
    assert fused.host_waits == compiled.host_waits == eager.host_waits == 0
    assert 0 < (fused.operations or 0) < (compiled.operations or 0) < (eager.operations or 0)
