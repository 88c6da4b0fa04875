"""A step of every optimizer and every clip on a fake CUDA device, which any machine has: no tensor is left on the host,
and the host does not wait for the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import QUICK
from every_optimizer import every_optimizer, parameters
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optbench import config
from optbench.checks.host_waits import HostWaits
from optbench.clipping import Clip
from optbench.config import RunConfig, imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.build import build
from optbench.sessions.assemble import assemble
from optbench.sessions.compatible import with_modifiers

CUDA = torch.device("cuda")
SHAPES = {"embedding": (11, 6), "matrix": (6, 5), "convolution": (4, 3, 2, 2), "norm": (5,), "bias": (), "head": (3, 5)}
WITHOUT_FAKE = {"sgd-torch", "momentum-torch", "nesterov-torch"}
"""By torch's fused kernel of SGD, which has no fake and asks for a driver; it is one kernel on the device."""
CURVATURE = ("kfac", "sophia_g", "sophia_h", "adahessian")
MODIFIERS = {"ema": ["ema=true"], "lookahead": ["lookahead.k=1"], "cautious": ["cautious=true"]}
MODIFIERS |= {"cautious_decay": ["cautious_decay=true"]}
MODIFIERS |= {word: [f"state={word}", "state.smallest=1"] for word in ("int8", "bf16")}
CLIPS = config.options([config.packaged_folder()], "clip")


@pytest.fixture(autouse=True)
def cache_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer a question of timm's about the device."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(L2_cache_size=50 << 20))


@pytest.fixture(autouse=True)
def generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a generator of the host for one of the device, which needs a driver."""
    of_the_host = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": of_the_host())


@contextmanager
def fake_problem() -> Iterator[Problem]:
    """Yield parameters with gradients on a fake device; mixing devices is an error there."""
    with FakeTensorMode():
        found = [Parameter(role, fake(shape).requires_grad_(), role) for role, shape in SHAPES.items()]
        for parameter in found:
            parameter.tensor.grad = fake(tuple(parameter.tensor.shape))
        yield Problem(tuple(found))


def fake(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, device=CUDA)


class ScalarsOfTheHost(TorchDispatchMode):
    """Records operations on the device that take a 0-d tensor of the host, which fakes allow as CUDA does."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kinds = {leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        if len(kinds) > 1:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def take_steps(loaded: RunConfig, problem: Problem) -> list[str]:
    """Take two steps, all periodic work included; return the waits of the second one."""
    choice = loaded.optimizer
    every_step = {name: value for name, value in {"engine": "eager", "interval": 1}.items() if name in choice.settings}
    needs = list(choice.about.get("needs", ()))
    settings = {**choice.settings, **every_step}
    optimizer = build(imports.load(choice.target), settings, choice.implementation, problem, needs)
    optimizer = with_modifiers(optimizer, loaded, choice)
    closure = [lambda: fake(())] if "closure" in needs else []
    optimizer.step(*closure)
    with ScalarsOfTheHost() as scalars, HostWaits(CUDA) as waits:
        optimizer.step(*closure)
    assert scalars.found == [] or choice.settings["impl"] != "optbench"
    return waits.calls


def declared(loaded: RunConfig) -> str:
    """Return the reason for which a step waits, as the optimizer's file says."""
    return loaded.optimizer.implementation.get("host_waits") or loaded.optimizer.about.get("host_waits", "")


@pytest.mark.parametrize("loaded", parameters("curvature"))
def test_an_optimizers_step(loaded: RunConfig, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.id in WITHOUT_FAKE:
        with fake_problem() as problem, pytest.raises(RuntimeError, match="NVIDIA driver"):
            take_steps(loaded, problem)
        return
    with fake_problem() as problem:
        try:
            waits = take_steps(loaded, problem)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:  # a value that the host asks for
            waits = [str(error)]
    assert bool(waits) == bool(declared(loaded)), waits


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_torchs_fused_kernels_are_the_defaults(name: str) -> None:
    choice = config.load([f"optimizer={name}"]).optimizer
    theta = torch.ones(3, requires_grad=True)
    problem = Problem((Parameter("theta", theta, "bias"),))
    optimizer = build(imports.load(choice.target), choice.settings, choice.implementation, problem, [])
    assert optimizer.param_groups[0]["fused"] is True


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_a_modifiers_step(modifier: str) -> None:
    with fake_problem() as problem:
        assert take_steps(config.load([*QUICK, "optimizer=lion", *MODIFIERS[modifier]]), problem) == []


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip(name: str) -> None:
    loaded = config.load([f"clip={name}"])
    with fake_problem() as problem:
        clip: Clip = imports.load(loaded.clip.target)(problem, **loaded.clip.settings)
        tensors = [parameter.tensor for parameter in problem.parameters]
        clip(tensors)
        with ScalarsOfTheHost() as scalars, HostWaits(CUDA) as waits:
            clip(tensors)
            clip(tensors, advance=False)
    assert waits.calls == scalars.found == []


@pytest.mark.parametrize("name", CURVATURE)
def test_a_step_with_curvature_does_not_wait(name: str) -> None:
    """Its model runs on the CPU here, where every tensor stands for one of a device."""
    trainer = assemble(config.load([*QUICK, f"optimizer={name}", "optimizer.interval=1"])).trainer
    player, found = trainer.players["model"], list[list[str]]()
    step = player.optimizer.step

    def recorded(*closure: Any) -> Any:
        with HostWaits() as waits:
            loss = step(*closure)
        found.append(waits.calls)
        return loss

    player.optimizer.step = recorded  # type: ignore[method-assign]
    batches = trainer.data.train_batches(16, 0)
    for _ in range(2):
        trainer.take_turns(next(batches), False)
    assert found[1] == []


def test_every_optimizer_is_covered() -> None:
    needing = {c.optimizer.name for c in every_optimizer() if "curvature" in c.optimizer.about.get("needs", ())}
    assert needing == set(CURVATURE)


def test_a_scalar_of_the_host_is_found() -> None:
    with FakeTensorMode(), ScalarsOfTheHost() as scalars:
        fake((3,)).mul_(torch.ones(())).mul_(2.0)
    assert scalars.found == ["aten.mul_.Tensor"]


def test_a_tensor_left_on_the_host_is_found() -> None:
    class Left(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for theta in group["params"]:
                    theta.data.add_(torch.ones(theta.shape, device="cpu"))

    with fake_problem() as problem, pytest.raises(Exception, match="same device"):
        Left([parameter.tensor for parameter in problem.parameters if parameter.tensor.ndim]).step()
