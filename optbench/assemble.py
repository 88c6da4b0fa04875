"""The composition root: a RunConfig becomes objects."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from optbench import env, locate
from optbench.clock import clock_for
from optbench.config import RunConfig
from optbench.contracts import DataSet, Seeds, Task
from optbench.curvature import BatchCurvature
from optbench.errors import ConfigError
from optbench.models.roles import problem_of
from optbench.optimizers.build import arguments_of, build, engine_of
from optbench.players import ActivePlayer, autocast
from optbench.train import Plan, Trainer


@dataclass(frozen=True)
class Objects:
    """What a configuration is made into."""

    device: torch.device
    data: DataSet
    task: Task
    trainer: Trainer
    engine: str


def data_root(config: RunConfig) -> Path:
    """Where downloaded data lies: data_dir, else $OPTBENCH_DATA_DIR, else ~/.cache/optbench/data."""
    given = config.data_dir or os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data"
    return Path(given).expanduser()


def assemble(config: RunConfig, on_step: Callable[[Trainer], None] = lambda trainer: None) -> Objects:
    """Data, model, task, optimizer and trainer of a run."""
    device = env.resolve_device(config.device)
    seeds = env.seeds_of(config.seed)
    env.prepare(config.threads, config.deterministic, seeds.init)
    data = locate.load(config.data.target)(**config.data.settings).load(data_root(config), device, seeds)
    env.prepare(config.threads, config.deterministic, seeds.init)  # loading may have drawn random numbers
    task = build_task(config, data, seeds, device)
    clock = clock_for(device)
    players = {name: build_player(config, module, device, clock) for name, module in task.players.items()}
    plan = Plan(**{field.name: getattr(config, field.name) for field in dataclasses.fields(Plan)})
    factor = locate.load(config.schedule.target)(steps=config.steps, **config.schedule.settings)
    trainer = Trainer(plan, task, data, players, factor, device=device, clock=clock, on_step=on_step)
    engine = engine_of(next(iter(players.values())).optimizer, config.optimizer.implementation)
    return Objects(device, data, task, trainer, engine)


def build_task(config: RunConfig, data: DataSet, seeds: Seeds, device: torch.device) -> Task:
    """The model on its device inside its task."""
    settings = dict(config.model.settings)
    task = dict(settings.pop("task"))
    model = locate.load(config.model.target)(data, **settings).to(device)
    return locate.load(task.pop("target"))(model, data, seeds, **task)


def build_player(config: RunConfig, module: torch.nn.Module, device: torch.device, clock: Any) -> ActivePlayer:
    """A network with its optimizer and clip."""
    choice, needs = config.optimizer, list(config.optimizer.about.get("needs", []))
    refuse_unfit(config, needs)
    curvature = None
    if "curvature" in needs:
        curvature = BatchCurvature(module, clock, autocast(config.precision, device), config.micro_batch)
    problem = problem_of(module, curvature)
    optimizer = build(locate.load(choice.target), choice.settings, choice.implementation, problem, needs)
    optimizer = modified(optimizer, config)
    clip = locate.load(config.clip.target)(problem, **config.clip.settings)
    return ActivePlayer(
        module,
        optimizer,
        clip,
        needs=needs,
        precision=config.precision,
        micro_batch=config.micro_batch,
        device=device,
        clock=clock,
        curvature=curvature,
    )


def modified(optimizer: Any, config: RunConfig) -> Any:
    """The optimizer with the modifiers that are switched on around it."""
    for modifier in config.modifiers:
        told = {fact: config.optimizer.about.get(fact, "") for fact in modifier.about.get("told", ())}
        arguments = arguments_of(modifier.settings, modifier.implementation)
        optimizer = locate.load(modifier.target)(optimizer, **arguments, **told)
    return optimizer


def refuse_unfit(config: RunConfig, needs: list[str]) -> None:
    """ConfigError where the run cannot give the optimizer what it declares to need."""
    name = f"optimizer={config.optimizer.name}"
    declared = config.optimizer.settings["impl"] != "user"  # a user's own optimizer may need less than it could use
    if config.precision == "fp16" and {"closure", "curvature"} & set(needs) and declared:
        raise ConfigError(
            f"{name} evaluates more than once a step, which fp16's loss scaling does not allow",
            "Use precision=bf16 or precision=fp32",
        )
    if config.compile and "double_backward" in needs:
        raise ConfigError(f"{name} differentiates twice, which compiled models cannot", "Use compile=false")
    if "own_schedule" in needs and not config.schedule.about.get("flat"):
        raise ConfigError(f"{name} brings a schedule of its own", "Use schedule=constant")
