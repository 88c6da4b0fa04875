"""The modifiers around an optimizer, and the needs of it that a run cannot serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.config import Choice, RunConfig, imports
from optbench.errors import ConfigError
from optbench.optimizers.core.build import arguments_of

if TYPE_CHECKING:
    from optbench.contracts import AttentionHeads, Parameter
    from optbench.optimizers.core.interface import Optimizer


ATTENTION, PARAMETERS, WIDTH = "attention", "parameters", "width"  # what a modifier may declare that it needs
WITHOUT = {  # why a run may have none, and what to do then
    ATTENTION: ("reads the attention of a model that optbench trains", ""),
    PARAMETERS: ("goes by the roles of parameters, which only the model shows", "Pass the model: run.optimizer(model)"),
    WIDTH: ("goes by the width of the model", "Say it with model.width=..., where the model has that key"),
}


def with_modifiers(
    optimizer: Optimizer,
    config: RunConfig,
    choice: Choice,
    parameters: Sequence[Parameter] | None = None,
    heads: Sequence[AttentionHeads] | None = None,
) -> Optimizer:
    """Return the optimizer wrapped in the active modifiers.

    `parameters`: of the network, where their roles are known. `heads`: of its attention, if it is watched.
    Raises ConfigError for a modifier that needs what the run doesn't have."""
    found = {ATTENTION: heads, PARAMETERS: parameters, WIDTH: config.model.settings.get("width")}
    for modifier in config.modifiers:
        told = {fact: choice.about.get(fact, "") for fact in modifier.about.get("told", ())}
        for need in modifier.about.get("needs", ()):
            if found[need] is None:
                reason, hint = WITHOUT[need]
                raise ConfigError(f"{modifier.name} {reason}", hint or f"Use {modifier.name}=false")
            told[need] = found[need]
        arguments = arguments_of(modifier.settings, modifier.implementation)
        optimizer = imports.load(modifier.target)(optimizer, **arguments, **told)
    return optimizer


def attention_reader(config: RunConfig) -> str:
    """Return the modifier that reads attention logits, or "". Raises ConfigError where Python doesn't see them."""
    found = [modifier.name for modifier in config.modifiers if ATTENTION in modifier.about.get("needs", ())]
    if found and config.compile:
        raise ConfigError(
            f"{found[0]} reads attention logits in Python, which compiled models skip", "Use compile=false"
        )
    return found[0] if found else ""


def check_scaled(config: RunConfig, choice: Choice, optimizer: Optimizer) -> None:
    """Raise ConfigError for a schedule that cannot scale the steps: the optimizer's groups have no "lr"."""
    if all("lr" in group for group in optimizer.param_groups) or config.schedule.about.get("flat"):
        return
    raise ConfigError(
        f"schedule={config.schedule.name} scales 'lr', which {choice.name}'s parameter groups do not have",
        'Name it lr in the class: super().__init__(params, {"lr": lr}); or use schedule=constant',
    )


def check_compatible(config: RunConfig, choice: Choice, needs: list[str]) -> None:
    """Raise ConfigError if the run cannot provide what an optimizer needs."""
    name = f"optimizer={choice.name}"
    lacks = config.model.about.get("lacks", {})
    for need in needs:
        if need in lacks:
            raise ConfigError(f"{name} does not fit model={config.model.name}: {lacks[need]}")
    declared = choice.settings["impl"] != "user"  # for a user's own optimizer, needs are only assumed
    if config.precision == "fp16" and {"closure", "curvature"} & set(needs) and declared:
        raise ConfigError(
            f"{name} evaluates more than once a step, which fp16's loss scaling does not allow",
            "Use precision=bf16 or precision=fp32",
        )
    if config.compile and "double_backward" in needs:
        raise ConfigError(f"{name} differentiates twice, which compiled models cannot", "Use compile=false")
    if "own_schedule" in needs and not config.schedule.about.get("flat"):
        raise ConfigError(f"{name} brings a schedule of its own", "Use schedule=constant")


def check_ranks(choice: Choice, needs: list[str], ranks: int) -> None:
    """Raise ConfigError if an optimizer needs what each rank has of its own."""
    differentiates = "double_backward" in needs and "curvature" not in needs
    wanted = "needs the inputs of its layers" if "modules" in needs else "differentiates its gradients"
    if "modules" in needs or differentiates:
        raise ConfigError(
            f"optimizer={choice.name} {wanted}, but each of {ranks} ranks has its own",
            "Use devices=1 or another optimizer",
        )
