"""Hand-written training loops, one file per task, that do only what training needs.

The file named like a task's module has `loop(objects, config)`, an iterator that takes one step per item, or, for tasks
of one player, `loss(task)`, which returns a function from a batch to its mean loss.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import torch
from torch import Tensor

from optbench.clipping import GlobalNorm, NoClip
from optbench.config import RunConfig
from optbench.contracts import Batch
from optbench.errors import ConfigError
from optbench.sessions.assemble import Objects
from optbench.training.loop import Trainer
from optbench.training.player import ActivePlayer

Loss = Callable[[Batch], Tensor]
"""The mean loss of a batch."""


def bare_loop(objects: Objects, config: RunConfig) -> Iterator[None]:
    """Return the hand-written loop of a task. Raises ConfigError if there is none."""
    name = f"{__name__}.{type(objects.task).__module__.rsplit('.', 1)[-1]}"
    if importlib.util.find_spec(name) is None:
        task = type(objects.task).__name__
        raise ConfigError(f"bench loop: no bare loop for {task}", f"Write the module {name}, or choose another model")
    for player in objects.task.players:
        optimizer = config.optimizer_of(player)
        if optimizer.about["needs"]:
            raise ConfigError(
                f"bench loop: {optimizer.name} needs more than gradients, which the bare loop does not provide",
                "Use optimizer=adamw",
            )
    module: ModuleType = importlib.import_module(name)
    several = hasattr(module, "loop")
    known = NoClip if several else (NoClip, GlobalNorm)
    if not all(isinstance(player.clip, known) for player in objects.trainer.players.values()):
        hint = "Use clip=none" if several else "Use clip=none or clip=global_norm"
        raise ConfigError(f"bench loop: the bare loop does not have clip={config.clip.name}", hint)
    if several:
        return module.loop(objects, config)
    return one_player(objects, config, module.loss(objects.task))


def one_player(objects: Objects, config: RunConfig, loss: Loss) -> Iterator[None]:
    """Train one player, one step per item."""
    trainer, task = objects.trainer, objects.task
    (player,) = trainer.players.values()
    optimizer, autocast = player.optimizer, player.autocast
    schedule = Schedule(trainer, [player])
    player.module.train()
    for step, batch in enumerate(objects.data.train_batches(config.batch_size)):
        schedule.set(step)
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            mean = loss(batch)
        mean.backward()
        if isinstance(player.clip, GlobalNorm):
            torch.nn.utils.clip_grad_norm_(player.parameters, player.clip.max_norm)
        optimizer.step()
        task.after_step(step)
        yield


class Schedule:
    """Sets the learning rates of a step."""

    def __init__(self, trainer: Trainer, players: Sequence[ActivePlayer]) -> None:
        self.factor = trainer.factor
        pairs = [zip(player.optimizer.param_groups, player.peaks, strict=True) for player in players]
        self.groups = [(group, peak) for pair in pairs for group, peak in pair if peak is not None]

    def set(self, step: int) -> None:
        """Set the learning rates of step number `step`."""
        factor = self.factor(step)
        for group, peak in self.groups:
            group["lr"] = peak * factor
