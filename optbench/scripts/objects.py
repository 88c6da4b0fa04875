"""The optimizer, schedule and clip of a run, built for a script's own model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config import Choice, RunConfig, imports
from optbench.errors import ConfigError
from optbench.files import expanded

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from optbench.clipping import Clip


def build_optimizer(config: RunConfig, parameters: Any, cwd: str) -> torch.optim.Optimizer:
    """Return the configured optimizer with its modifiers for a model, or for parameters or groups as torch takes them.

    Raises ConfigError with the reason where it cannot be built."""
    import torch
    from torch import nn

    from optbench.models.roles import problem_of
    from optbench.optimizers.core.build import build
    from optbench.optimizers.core.interface import requires_closure, warm_up
    from optbench.optimizers.core.wrapper import Wrapper
    from optbench.scripts.closures import ClosureOptimizer
    from optbench.sessions.compatible import check_compatible, with_modifiers
    from optbench.training.lr_scaling import lr_factor

    choice = config.optimizer
    needs = list(choice.about.get("needs", []))
    check_compatible(replace(config, schedule=flat(config.schedule)), choice, needs)
    target = imports.load(absolute(choice.target, cwd))
    problem = problem_of(parameters) if isinstance(parameters, nn.Module) else None
    if problem:
        made = build(target, choice.settings, choice.implementation, problem, needs)
    else:
        made = of_groups(target, choice, parameters)
    optimizer: Any = with_modifiers(made, config, choice, problem and problem.parameters)
    if requires_closure(made):
        optimizer = ClosureOptimizer(optimizer, choice.name)
    elif not isinstance(optimizer, torch.optim.Optimizer):
        optimizer = Wrapper(optimizer)  # schedulers and trainers check the class
    factor = lr_factor(config.scale_lr, config.batch_size, config.scale_from)
    for group in optimizer.param_groups:
        if "lr" in group and factor != 1.0:
            group["lr"] = factor * group["lr"]
        if "peak_lr" in group:  # the rule needs the current lr as a share of it
            group["peak_lr"] = group["lr"]
    warm_up(optimizer)
    return optimizer


def flat(schedule: Choice) -> Choice:
    """Return the schedule as one that changes nothing: whether the script uses it is not known yet."""
    return replace(schedule, about={**schedule.about, "flat": True})


def absolute(target: str, cwd: str) -> str:
    """Return the import path with its file relative to `cwd`: the script may have changed its folder."""
    if ".py:" not in target:
        return target
    file, _, name = target.rpartition(":")
    return f"{Path(cwd, expanded(file))}:{name}"


def of_groups(target: Any, choice: Choice, parameters: Any) -> Any:
    """Build an optimizer for parameters or groups: these have no roles, so nothing is spared from weight decay."""
    from optbench.optimizers.core.build import arguments_of, check_needs
    from optbench.optimizers.core.interface import check_interface

    needs = list(choice.about.get("needs", []))
    check_needs(needs)
    if choice.implementation.get("takes") or "modules" in needs:
        raise ConfigError(
            f"optimizer={choice.name} treats parameters by their role, which only the model shows",
            "Pass the model: run.optimizer(model)",
        )
    groups = tensors_or_groups(parameters)
    if "single_group" in needs and len(groups) > 1 and isinstance(groups[0], dict):
        raise ConfigError(f"optimizer={choice.name} takes a single group", "Pass the model: run.optimizer(model)")
    made = target(groups, **arguments_of(choice.settings, choice.implementation))
    check_interface(made)
    return made


def tensors_or_groups(parameters: Any) -> list[Any]:
    """Return what torch's optimizers take, as a list: tensors or groups, without names."""
    import torch

    found = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
    found = [item[1] if isinstance(item, tuple) else item for item in found]
    if not found:
        raise ConfigError("run.optimizer() got no parameters", "Pass the model or model.parameters()")
    return found


def build_schedule(config: RunConfig, optimizer: torch.optim.Optimizer, steps: int, cwd: str) -> Any:
    """Return the configured schedule as a scheduler of torch: call its step() after each optimizer step."""
    from torch.optim.lr_scheduler import LambdaLR

    from optbench.sessions.compatible import check_compatible
    from optbench.training.lr_scaling import scaled_schedule

    check_compatible(config, config.optimizer, list(config.optimizer.about.get("needs", [])))
    settings = scaled_schedule(config.schedule.settings, config.scale_warmup, config.batch_size, config.scale_from)
    return LambdaLR(optimizer, imports.load(absolute(config.schedule.target, cwd))(steps=steps, **settings))


def build_clip(config: RunConfig, model: Any, cwd: str) -> tuple[Clip, Sequence[Tensor]]:
    """Return the configured clip for a model or for parameters, and the parameters."""
    from torch import nn

    from optbench.contracts import Parameter, Problem
    from optbench.models.roles import problem_of

    if isinstance(model, nn.Module):
        problem = problem_of(model)
    else:
        tensors = tensors_or_groups(model)
        problem = Problem(tuple(Parameter(f"parameter {n}", tensor, "matrix") for n, tensor in enumerate(tensors)))
    clip = imports.load(absolute(config.clip.target, cwd))(problem, **config.clip.settings)
    return clip, [parameter.tensor for parameter in problem.parameters]


def facts_of(config: RunConfig, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what run.json says of the optimizer as it was built: its engine, and the hardware that it runs on."""
    from optbench.optimizers.core.interface import engine_of
    from optbench.training.provenance import hardware

    device = next(tensor.device for group in optimizer.param_groups for tensor in group["params"])
    return {"engine": engine_of(optimizer, config.optimizer.implementation), "hardware": hardware(device)}


def bytes_of(optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Any]:
    """Return the bytes of parameters, gradients and optimizer state, and the peaks."""
    import torch

    from optbench.optimizers.core.state_bytes import state_bytes, tensor_bytes

    parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    state: dict[str, int] = {}
    for optimizer in optimizers:
        for dtype, count in state_bytes(optimizer).items():
            state[dtype] = state.get(dtype, 0) + count
    peaks: dict[str, int] = {}
    devices = {p.device for p in parameters if p.device.type == "cuda"}
    if devices:
        peaks = {
            "peak_allocated": sum(torch.cuda.max_memory_allocated(device) for device in devices),
            "peak_reserved": sum(torch.cuda.max_memory_reserved(device) for device in devices),
        }
    return {
        "parameters": tensor_bytes(parameters),
        "optimizer_state": state,
        "gradients": tensor_bytes(p.grad for p in parameters if p.grad is not None),
        **peaks,
    }


def evaluations_of(optimizers: Iterable[torch.optim.Optimizer]) -> int | None:
    """Return the gradient evaluations of the optimizers that evaluate the loss themselves; None without any."""
    from optbench.scripts.closures import ClosureOptimizer

    counts = [optimizer.evaluations for optimizer in optimizers if isinstance(optimizer, ClosureOptimizer)]
    return sum(counts) if counts else None


def evaluation_weights(optimizer: Any, model: nn.Module, batches: Iterable[Any] | None) -> Any:
    """Return the context in which the model has its evaluation weights; `batches` renew batch statistics for them."""
    from torch.optim.swa_utils import update_bn

    from optbench.optimizers.core.eval_weights import eval_weights

    def refresh(module: nn.Module) -> None:
        if batches is not None:
            update_bn(batches, module)

    return eval_weights(optimizer, model, refresh)
