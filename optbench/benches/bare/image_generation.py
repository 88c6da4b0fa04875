"""Two players in turn: the discriminator at every step, the generator after every n_critic of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from optbench.benches.bare import Schedule
from optbench.config import RunConfig
from optbench.contracts import Renewable
from optbench.sessions.assemble import Objects
from optbench.tasks.generative.losses import gradient_penalty


def loop(objects: Objects, config: RunConfig) -> Iterator[None]:
    """Noise, images, two losses, two optimizers. Scaling of images, losses and penalty are the task's own formulas."""
    task: Any = objects.task
    players = objects.trainer.players
    generator, discriminator = task.generator, task.discriminator
    schedule = Schedule(objects.trainer, list(players.values()))
    autocast = players["generator"].autocast
    generator.train()
    discriminator.train()
    for step, batch in enumerate(objects.data.train_batches(config.batch_size)):
        schedule.set(step)
        real = task.scale(batch["inputs"])
        with torch.no_grad(), autocast:
            fake = generator(noise(task, real))
        take(players["discriminator"].optimizer, autocast, lambda r=real, f=fake: discriminator_loss(task, r, f))
        if isinstance(discriminator, Renewable):
            discriminator.renew()
        if step == 0 or (step + 1) % task.n_critic == 0:
            discriminator.requires_grad_(False)
            take(players["generator"].optimizer, autocast, lambda r=real: generator_loss(task, r))
            discriminator.requires_grad_(True)
        yield


def take(optimizer: Any, autocast: Any, loss: Any) -> None:
    """One step of one player."""
    optimizer.zero_grad(set_to_none=True)
    with autocast:
        mean = loss()
    mean.backward()
    optimizer.step()


def noise(task: Any, like: Tensor) -> Tensor:
    """What images are made from."""
    return torch.randn(len(like), task.generator.noise, device=like.device)


def discriminator_loss(task: Any, real: Tensor, fake: Tensor) -> Tensor:
    """Mean loss of telling real from generated, with the penalty where there is one."""
    total = task.objective.discriminator(task.discriminator(real), task.discriminator(fake)).mean()
    if task.penalty:
        share = torch.rand(len(real), 1, device=real.device)
        total = total + task.penalty * gradient_penalty(task.discriminator, real, fake, share) / len(real)
    return total


def generator_loss(task: Any, real: Tensor) -> Tensor:
    """Mean loss of generated images that are told from real ones."""
    return task.objective.generator(task.discriminator(task.generator(noise(task, real)))).mean()
