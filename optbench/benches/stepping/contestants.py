"""Every installed implementation of an algorithm, each with a copy of the parameters, on the same gradients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optbench.benches.stepping.shapes import parameters
from optbench.config import Choice, RunConfig, imports, load
from optbench.contracts import Problem
from optbench.errors import ConfigError, OptbenchError, first_line
from optbench.optimizers.core.build import build
from optbench.optimizers.core.interface import engine_of

OURS = "optbench"
OWN_ENGINES = ("eager", "compiled")
NOT_GIVEN = ("closure", "modules", "curvature", "double_backward")  # needs beyond gradients
WARM_UPS = 5


@dataclass
class Contestant:
    """One implementation on one parameter set, with what was measured of it. `first_seconds`: warm-up and first step,
    compilation included."""

    algorithm: str
    implementation: str
    engine: str
    optimizer: Any
    first_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    peak_extra_bytes: int | None = None

    @property
    def ours(self) -> bool:
        """Whether this project wrote it."""
        return self.implementation == OURS

    @property
    def label(self) -> str:
        """For people: who, and by what."""
        return f"{self.implementation} ({self.engine})"


def configured(config: RunConfig, algorithms: str) -> list[RunConfig]:
    """The configurations to compare: that of `optimizer=` alone, those named (`lion,adamw`), or all whose rule of ours
    is elementwise."""
    if not algorithms:
        return [config]
    if algorithms == "elementwise":
        return elementwise_ones(config)
    return [load(with_optimizer(config, name.strip())) for name in algorithms.split(",")]


def elementwise_ones(config: RunConfig) -> list[RunConfig]:
    """Every packaged algorithm that needs gradients alone and whose rule here is declared elementwise."""
    from optbench.config import config_folders, options

    everything = [load(with_optimizer(config, name)) for name in options(config_folders(None), "optimizer")]
    return [found for found in everything if is_elementwise(found.optimizer) and not ungiven(found.optimizer)]


def with_optimizer(config: RunConfig, name: str) -> list[str]:
    """The overrides with another optimizer; those for the settings of the first do not fit it."""
    kept = [text for text in config.overrides if not text.lstrip("+").startswith(("optimizer=", "optimizer."))]
    return [*kept, f"optimizer={name}"]


def is_elementwise(choice: Choice) -> bool:
    """Whether this project has the algorithm as a rule for each element by itself."""
    own = choice.about.get("implementations", {}).get(OURS)
    return bool(own) and bool(getattr(getattr(imports.load(own["target"]), "rule", None), "elementwise", False))


def ungiven(choice: Choice) -> list[str]:
    """What the algorithm needs and a step on given gradients cannot provide."""
    return [need for need in choice.about.get("needs", ()) if need in NOT_GIVEN]


def contestants(choice: Choice, shapes: str, device: torch.device, skipped: list[dict[str, str]]) -> list[Contestant]:
    """The implementations of a choice's algorithm, warmed up. What is not installed or does not run is put on
    `skipped` with the reason."""
    if ungiven(choice):
        raise ConfigError(f"bench step: {choice.name} needs {', '.join(ungiven(choice))}, not gradients alone")
    gradients = [torch.randn_like(p.tensor) for p in parameters(shapes, device)]
    found = []
    for name, settings, implementation in variants(choice):
        try:
            optimizer = built(choice, settings, implementation, shapes, device, gradients)
            contestant = Contestant(choice.name, name, engine_of(optimizer, implementation), optimizer)
            contestant.first_seconds = warmed_up(optimizer)
            found.append(contestant)
        except Exception as error:  # whatever somebody's code raises here
            reason = str(error.args[0]) if isinstance(error, OptbenchError) else first_line(error)
            skipped.append({"algorithm": choice.name, "implementation": name, "shapes": shapes, "reason": reason})
    return found


def variants(choice: Choice) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Name, settings and facts of every implementation; those whose engine can be chosen once with each engine.

    An implementation that requires certain values is given them: they change the algorithm, hardly its cost."""
    implementations = choice.about.get("implementations") or {choice.settings.get("impl", "user"): choice.about}
    for name, implementation in implementations.items():
        settings = {**choice.settings, **implementation.get("requires", {}), "impl": name}
        chosen = "engine" in settings and "engine" not in implementation.get("drops", ())
        for engine in OWN_ENGINES if chosen else (None,):
            yield name, {**settings, "engine": engine} if engine else settings, implementation


def built(
    choice: Choice,
    settings: Mapping[str, Any],
    implementation: Mapping[str, Any],
    shapes: str,
    device: torch.device,
    gradients: list[Tensor],
) -> Any:
    """An optimizer of its own copy of the parameters. All share the gradients, which a step only reads."""
    problem = Problem(parameters(shapes, device))
    for parameter, gradient in zip(problem.parameters, gradients, strict=True):
        parameter.tensor.grad = gradient
    target = imports.load(implementation["target"])
    return build(target, settings, implementation, problem, list(choice.about.get("needs", ())))


def warmed_up(optimizer: Any) -> float:
    """Seconds of compilation and first step; further steps follow."""
    began = time.perf_counter()
    getattr(optimizer, "warm_up", lambda: None)()
    optimizer.step()
    first = time.perf_counter() - began
    for _ in range(WARM_UPS):
        optimizer.step()
    return first
