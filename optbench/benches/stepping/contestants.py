"""Every installed implementation of an algorithm, each with its own copy of the parameters, on the same gradients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optbench.benches import comma_separated
from optbench.benches.stepping.counting import NOT_COUNTED, Calls
from optbench.benches.stepping.shapes import SETS, parameters
from optbench.config import Choice, RunConfig, config_folders, imports, load, options
from optbench.contracts import Problem
from optbench.errors import ConfigError, OptbenchError, first_line
from optbench.optimizers.core.build import build
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.interface import Optimizer, engine_of

OURS = "optbench"
OWN_ENGINES = ("eager", "compiled")
NOT_PROVIDED = ("closure", "modules", "curvature", "double_backward")  # needs beyond gradients
NO_WORK = ("impl", "engine")
"""Settings that choose how the work is done."""
MATRICES = "matrices"
"""The setting that names the roles of tensors under a rule of matrices."""
WARM_UPS = 5


@dataclass
class Contestant:
    """One implementation on one parameter set, with its measurements."""

    algorithm: str
    implementation: str
    engine: str
    optimizer: Optimizer
    work: str = ""
    """Settings that another implementation requires and that change the work; only equal work is compared."""
    first_seconds: float = 0.0
    """Seconds of warm-up and first step, including compilation."""
    seconds: list[float] = field(default_factory=list)
    peak_extra_bytes: int | None = None
    calls: Calls = NOT_COUNTED

    @property
    def has_matrix_rule(self) -> bool:
        """True for a rule of this project that treats matrices of equal shape together."""
        return isinstance(self.optimizer, RuleOptimizer) and self.optimizer.has_buckets()

    @property
    def ours(self) -> bool:
        """True for this project's implementation."""
        return self.implementation == OURS

    def step(self) -> None:
        """Take one step."""
        self.optimizer.step()


def select_configs(config: RunConfig, algorithms: str) -> list[RunConfig]:
    """Return the configurations to compare: that of `optimizer=`, or those named ("lion,adamw"), or "elementwise"."""
    if not algorithms:
        return [config]
    if algorithms == "elementwise":
        return elementwise_configs(config)
    return [load(with_optimizer(config, name)) for name in comma_separated(algorithms)]


def elementwise_configs(config: RunConfig) -> list[RunConfig]:
    """Return every packaged algorithm that needs gradients only and whose rule here is declared elementwise."""
    configs = [load(with_optimizer(config, name)) for name in options(config_folders(None), "optimizer")]
    return [c for c in configs if is_elementwise(c.optimizer) and not unmet_needs(c.optimizer)]


def with_optimizer(config: RunConfig, name: str) -> list[str]:
    """Return the overrides with another optimizer, without settings of the first optimizer."""
    kept = [text for text in config.overrides if not text.lstrip("+").startswith(("optimizer=", "optimizer."))]
    return [*kept, f"optimizer={name}"]


def is_elementwise(choice: Choice) -> bool:
    """Return True if this project implements the algorithm as an elementwise rule."""
    own = choice.about.get("implementations", {}).get(OURS)
    return bool(own) and bool(getattr(getattr(imports.load(own["target"]), "rule", None), "elementwise", False))


def unmet_needs(choice: Choice) -> list[str]:
    """Return the algorithm's needs that a step on given gradients does not provide."""
    return [need for need in choice.about.get("needs", ()) if need in NOT_PROVIDED]


def contestants(choice: Choice, shapes: str, device: torch.device, skipped: list[dict[str, str]]) -> list[Contestant]:
    """Return the algorithm's implementations, warmed up.

    Adds those that are not installed or do not run to `skipped`, with the reason."""
    if unmet := unmet_needs(choice):
        raise ConfigError(f"bench step: {choice.name} needs {', '.join(unmet)}; the bench provides only gradients")
    gradients = [torch.randn_like(p.tensor) for p in parameters(shapes, device)]
    found = []
    for name, settings, implementation in variants(choice, shapes):
        try:
            optimizer = build_optimizer(choice, settings, implementation, shapes, device, gradients)
            seconds = warm_up(optimizer)  # before its engine is asked for: without a working compiler it is eager
            engine, work = engine_of(optimizer, implementation), work_of(choice, settings, shapes)
            found.append(Contestant(choice.name, name, engine, optimizer, work, seconds))
        except Exception as error:  # another library may raise anything
            reason = str(error.args[0]) if isinstance(error, OptbenchError) else first_line(error)
            skipped.append({"algorithm": choice.name, "implementation": name, "shapes": shapes, "reason": reason})
    return found


def variants(choice: Choice, shapes: str) -> Iterator[tuple[str, dict[str, object], Mapping[str, Any]]]:
    """Yield name, settings and facts of every implementation, once per engine where the engine can be chosen.

    Required settings are applied. Where they change the work, ours follows once more with the same settings."""
    implementations = choice.about.get("implementations") or {choice.settings.get("impl", "user"): choice.about}
    works: dict[str, Mapping[str, object]] = {"": {}}
    for implementation in implementations.values():
        required = implementation.get("requires", {})
        works.setdefault(work_of(choice, {**choice.settings, **required}, shapes), required)
    for name, implementation in implementations.items():
        required = implementation.get("requires", {})
        has_engines = "engine" in choice.settings and "engine" not in implementation.get("drops", ())
        for changed in works.values() if name == OURS else (required,):
            settings = {**choice.settings, **required, **changed, "impl": name}
            for engine in OWN_ENGINES if has_engines else (None,):
                yield name, {**settings, "engine": engine} if engine else settings, implementation


def work_of(choice: Choice, settings: Mapping[str, Any], shapes: str) -> str:
    """Return the settings that differ from those of the optimizer's file and change the work of a step; or "".

    Roles of matrices count only where they choose other tensors of the parameter set."""
    file = choice.settings
    changed = {k: v for k, v in settings.items() if k not in NO_WORK and k in file and v != file[k]}
    if MATRICES in changed:
        mine, others = (
            [name for name, shape, role in SETS[shapes]() if role in roles and len(shape) > 1]
            for roles in (file[MATRICES], changed[MATRICES])
        )
        if mine == others:
            del changed[MATRICES]
    return ", ".join(f"{key}={value}" for key, value in changed.items()).replace("'", "")


def build_optimizer(
    choice: Choice,
    settings: Mapping[str, object],
    implementation: Mapping[str, Any],
    shapes: str,
    device: torch.device,
    gradients: list[Tensor],
) -> Optimizer:
    """Build an optimizer with its own copy of the parameters. All share the gradients, which a step only reads."""
    problem = Problem(parameters(shapes, device))
    for parameter, gradient in zip(problem.parameters, gradients, strict=True):
        parameter.tensor.grad = gradient
    target = imports.load(implementation["target"])
    return build(target, settings, implementation, problem, list(choice.about.get("needs", ())))


def warm_up(optimizer: Optimizer) -> float:
    """Take several steps; return the seconds of compilation and the first step."""
    began = time.perf_counter()
    getattr(optimizer, "warm_up", lambda: None)()
    optimizer.step()
    first = time.perf_counter() - began
    for _ in range(WARM_UPS):
        optimizer.step()
    return first
