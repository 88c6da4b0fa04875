"""Flow matching: noise and times as the task draws them, the network, the mean squared error of the velocity."""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from optbench import counter_rng
from optbench.benches.bare import Loss
from optbench.contracts import Batch, Task
from optbench.tasks.generative.diffusion import NOISE, FlowMatching


def loss(task: Task) -> Loss:
    """Return the mean loss of a batch, for batches in the order of training."""
    ours, steps = cast(FlowMatching, task), itertools.count()

    def mean(batch: Batch) -> Tensor:
        images = batch["inputs"]
        seed, place = counter_rng.mixed_seed(ours.seed, next(steps)), torch.arange(len(images), device=images.device)
        noise, times = ours.noise(seed, place, NOISE), ours.drawn_times(seed, place)
        share = times[:, None, None, None]
        found = ours.model((1 - share) * noise + share * images, times)
        return functional.mse_loss(found.float(), images - noise)

    return mean
