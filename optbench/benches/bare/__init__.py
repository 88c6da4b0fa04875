"""What one writes by hand: a training loop for each kind of task that does nothing that training does not need.

The module of a task's name holds `loop(objects, config)`, which takes a step each time it is asked for the next, or,
for tasks of one player, `loss(task)`, which gives the mean loss of a batch as a function.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from optbench.config import RunConfig
from optbench.contracts import Batch
from optbench.errors import ConfigError
from optbench.sessions.assemble import Objects


def bare_loop(objects: Objects, config: RunConfig) -> Iterator[None]:
    """The hand-written loop of a task. Raises ConfigError where nobody has written one."""
    name = f"{__name__}.{type(objects.task).__module__.rsplit('.', 1)[-1]}"
    if importlib.util.find_spec(name) is None:
        raise ConfigError(f"bench loop: there is no bare loop for {type(objects.task).__name__}", f"It would be {name}")
    needing = {choice.name for player in objects.task.players if (choice := config.optimizer_of(player)).about["needs"]}
    if needing:
        raise ConfigError(f"bench loop: {min(needing)} needs more of a step than gradients", "Take optimizer=adamw")
    module: Any = importlib.import_module(name)
    if hasattr(module, "loop"):
        return module.loop(objects, config)
    return one_player(objects, config, module.loss(objects.task))


def one_player(objects: Objects, config: RunConfig, loss: Callable[[Batch], Tensor]) -> Iterator[None]:
    """Batch, forward, backward, step, learning rate."""
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
        optimizer.step()
        task.after_step(step)
        yield


class Schedule:
    """Sets the learning rates of a step."""

    def __init__(self, trainer: Any, players: list[Any]) -> None:
        self.factor = trainer.factor
        pairs = [zip(player.optimizer.param_groups, player.peaks, strict=True) for player in players]
        self.groups = [(group, peak) for pair in pairs for group, peak in pair]

    def set(self, step: int) -> None:
        """The rates of step number `step`."""
        factor = self.factor(step)
        for group, peak in self.groups:
            group["lr"] = peak * factor
