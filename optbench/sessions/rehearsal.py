"""A few samples through a task before training: code of the user's own fails here, in one line, and not after hours.

Nothing that it does lasts: gradients are thrown away, buffers and random states restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from optbench.config import RunConfig
from optbench.config.user_code import location, user_error
from optbench.contracts import Batch, MetricScale, Task
from optbench.errors import ConfigError
from optbench.models.roles import trainable
from optbench.optimizers.core.eval_weights import evaluation_mode
from optbench.sessions.micro_batch import first_batch
from optbench.sessions.new_model import first_batch_of
from optbench.tasks.own_metrics import NAME
from optbench.training.curvature import micro_batches
from optbench.training.evaluation import gather
from optbench.training.loop import Trainer
from optbench.training.player import autocast
from optbench.training.seeding import preserve_state, random_state, restore_random_state

SAMPLES = 8  # of validation, for the trial of an evaluation


def rehearse(config: RunConfig, trainer: Trainer) -> None:
    """Try the first batch and an evaluation where code of the user's own, or a task that an override chose, takes part.

    Packaged workloads are known to fit. Raises ConfigError for failures, with the file and line of the user's code. A
    task without a trivial answer is told to the trainer."""
    chosen = config.model.about.get("chosen_task")
    if not (any(config.sources.values()) or "roles" in config.model.settings or chosen):
        return
    name, task = str(config.model.settings["task"]["target"]), trainer.task
    batch, state = first_batch(trainer, config.batch_size), random_state(trainer.device)
    modules = trainer.modules
    size = min(player.micro_batch or config.batch_size for player in trainer.players.values())
    try:
        for module in modules:
            module.train()
        with preserve_state(modules, trainer.device), autocast(config.precision, trainer.device):
            if not trainer.sharded:
                try_turns(task, next(micro_batches(batch, size)), name)
            trainer.dry_step(batch)
            with evaluation_mode(modules), torch.no_grad():
                few = next(iter(trainer.data.eval_batches("validation", SAMPLES, SAMPLES)))
                scores = check_scores(task.score(gather([task.evaluate(few)])), name)
    except Exception as error:
        raise unfit(config, error, batch) from error
    finally:
        restore_random_state(state, trainer.device)
    trainer.plan = replace(trainer.plan, evaluate_untrained="trivial" not in scores)


def unfit(config: RunConfig, error: Exception, batch: Batch | None = None) -> BaseException:
    """Return the error to raise where a task failed before training: of the user's code, or a task that doesn't fit."""
    chosen, model = config.model.about.get("chosen_task"), f"model={config.model.name}"
    if chosen and location(error) is None:
        usual = config.model.about.get("task_model")
        hint = f"It is made for models like model={usual}" if usual else ""
        return user_error(f"task={chosen} does not fit {model} with data={config.data.name}", error, hint)
    task = f"task={chosen}, " if chosen else ""
    return user_error(task + (first_batch_of(config, batch) if batch else model), error)


def check_facts(task: Task, name: str) -> None:
    """Raise ConfigError for a task whose metric, direction, scale or players have the wrong form."""
    if not isinstance(task.metric, str) or not NAME.fullmatch(task.metric):
        raise ConfigError(f"{name}: metric is {str(task.metric)[:60]!r}", "Use letters, digits and _, e.g. accuracy")
    for fact, allowed in (("direction", ("max", "min")), ("metric_scale", get_args(MetricScale))):
        if getattr(task, fact) not in allowed:
            text = str(getattr(task, fact))[:60]
            raise ConfigError(f"{name}: {fact} is {text!r}", f"Choose from {', '.join(allowed)}")
    players: Any = task.players
    if (
        not isinstance(players, Mapping)
        or not players
        or any(not isinstance(one, nn.Module) for one in players.values())
    ):
        raise ConfigError(f"{name}: players is {str(task.players)[:60]}", 'e.g. self.players = {"model": model}')


def try_turns(task: Task, batch: Batch, name: str) -> None:
    """Compute the loss and the gradients of every turn. Raises ConfigError for a loss that trains nothing."""
    before = {key: found.clone() for key, found in batch.items()}
    turns = 0
    for turn in task.turns(batch, 0):
        turns += 1
        if turn.player not in task.players:
            raise ConfigError(f"{name}: a turn of '{turn.player}'", f"The players are {', '.join(task.players)}")
        total, count = sum_and_count(turn.loss(turn.batch), name)
        if not float(count) > 0:
            raise ConfigError(
                f"{name}: the loss has {float(count):g} terms", "Return (sum, count) with a count above 0"
            )
        weights = [parameter.tensor for parameter in trainable(task.players[turn.player])]
        found = torch.autograd.grad(total, weights, allow_unused=True) if total.requires_grad and weights else ()
        if weights and all(gradient is None for gradient in found):
            hint = "Compute it from the model's output with torch, without .item(), .detach() or torch.no_grad()"
            raise ConfigError(f"{name}: the loss has no gradient by the model's parameters", hint)
    if not turns:
        raise ConfigError(f"{name}: turns() gives no step", "Yield a Turn for every batch")
    changed = [key for key, found in batch.items() if not same(found, before[key])]
    if changed:
        raise ConfigError(
            f"{name}: the loss changes batch['{changed[0]}'] in place", "Work on a copy: batch[...].clone()"
        )


def sum_and_count(value: Any, name: str) -> tuple[Tensor, Any]:
    """Return a turn's loss. Raises ConfigError unless it is a scalar tensor and a number of terms."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Tensor) and not value[0].shape:
        return value
    raise ConfigError(
        f"{name}: the loss of a turn is {str(value)[:60]}", "Return (sum, count): a scalar tensor, a number"
    )


def check_scores(scores: Mapping[str, Any], name: str) -> set[str]:
    """Return the names of the scores. Raises ConfigError where one is missing or no number."""
    missing = [key for key in ("loss", "metric") if key not in scores]
    if missing:
        raise ConfigError(f"{name}: score() gives no '{missing[0]}'", "It returns the numbers 'loss' and 'metric'")
    for key, value in scores.items():
        if not NAME.fullmatch(key) or not isinstance(value, (int, float)):
            raise ConfigError(
                f"{name}: score() gives {key[:60]!r}: {str(value)[:60]}", "Give numbers under plain names"
            )
    return set(scores)


def same(one: Tensor, other: Tensor) -> bool:
    """Return True for equal values, NaN being equal to itself."""
    return torch.equal(one.nan_to_num(), other.nan_to_num()) if one.is_floating_point() else torch.equal(one, other)
