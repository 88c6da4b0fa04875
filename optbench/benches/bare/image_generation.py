"""Two players in turn: the discriminator in every step, the generator in the first and in every n_critic-th step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor

from optbench.benches.bare import Schedule
from optbench.config import RunConfig
from optbench.contracts import Renewable
from optbench.optimizers.core.interface import Optimizer
from optbench.sessions.assemble import Objects
from optbench.tasks.generative.image_generation import ImageGeneration
from optbench.tasks.generative.losses import gradient_penalty


def loop(objects: Objects, config: RunConfig) -> Iterator[None]:
    """Train both players, one step per item. Image scaling, losses and penalty are the task's own formulas."""
    task = cast(ImageGeneration, objects.task)
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
        update(players["discriminator"].optimizer, autocast, lambda r=real, f=fake: discriminator_loss(task, r, f))
        if isinstance(discriminator, Renewable):
            discriminator.renew()
        if step == 0 or (step + 1) % task.n_critic == 0:
            discriminator.requires_grad_(False)
            update(players["generator"].optimizer, autocast, lambda r=real: generator_loss(task, r))
            discriminator.requires_grad_(True)
        yield


def update(optimizer: Optimizer, autocast: AbstractContextManager, loss: Callable[[], Tensor]) -> None:
    """Take one step of one player."""
    optimizer.zero_grad(set_to_none=True)
    with autocast:
        mean = loss()
    mean.backward()
    optimizer.step()


def noise(task: ImageGeneration, images: Tensor) -> Tensor:
    """Draw the generator's inputs for as many images."""
    return torch.randn(len(images), cast(int, task.generator.noise), device=images.device)


def discriminator_loss(task: ImageGeneration, real: Tensor, fake: Tensor) -> Tensor:
    """Return the discriminator's mean loss, with the gradient penalty if the task has one."""
    total = task.objective.discriminator(task.discriminator(real), task.discriminator(fake)).mean()
    if task.penalty:
        share = torch.rand(len(real), 1, device=real.device)
        total = total + task.penalty * gradient_penalty(task.discriminator, real, fake, share) / len(real)
    return total


def generator_loss(task: ImageGeneration, real: Tensor) -> Tensor:
    """Return the generator's mean loss."""
    return task.objective.generator(task.discriminator(task.generator(noise(task, real)))).mean()
