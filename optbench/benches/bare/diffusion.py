"""Flow matching: noise and times as the task draws them, the network, the mean squared error of the velocity."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional

from optbench import counter_rng
from optbench.benches.bare import Loss
from optbench.contracts import Batch
from optbench.tasks.generative.diffusion import NOISE, FlowMatching


def loss(task: FlowMatching) -> Loss:
    """Return the mean loss of a batch, for batches in the order of training."""
    model, seed, steps = task.model, task.seed, itertools.count()

    def mean(batch: Batch) -> Tensor:
        images = batch["inputs"]
        drawn, place = counter_rng.mixed_seed(seed, next(steps)), torch.arange(len(images), device=images.device)
        noise, times = task.noise(drawn, place, NOISE), task.drawn_times(drawn, place)
        share = times[:, None, None, None]
        found = model((1 - share) * noise + share * images, times)
        return functional.mse_loss(found.float(), images - noise)

    return mean
