"""Diffusion by flow matching: a network learns the velocity that carries noise to images (Lipman et al., 2023,
arXiv:2210.02747; the straight paths of Liu, Gong and Liu, 2023, arXiv:2209.03003).

At time t in [0, 1] a noisy image is x_t = (1 - t) noise + t image, and the velocity is image - noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench import counter_rng
from optbench.contracts import Batch, Evaluation, ImageData, Seeds, SumCount, Turn
from optbench.errors import ConfigError
from optbench.tasks.base import BaseTask
from optbench.tasks.generative.distances import frechet, moments
from optbench.tasks.generative.features import features_for, remembered
from optbench.tasks.generative.grid import grid
from optbench.tasks.generative.scale import GeneratorScale, to_uint8
from optbench.tasks.generative.trivial import pixel_statistics
from optbench.tasks.outputs import scores

if TYPE_CHECKING:
    import numpy as np

DIVERGED_LOSS = 1e4  # predicting zero has 2 on images of variance 1
SEED = 20261130  # a constant: every run is scored and shown at the same noise
NOISE, TIME = range(2)  # streams of random numbers in training
SCORED, GENERATED, SHOWN = range(3)  # streams of the constant seed
GRID_IMAGES = 36
STEPS = 10  # of the midpoint method from noise to an image; the network is called twice in each
SPREAD = (math.sqrt(5) - 1) / 2  # multiples of it fill [0, 1) evenly


class FlowMatching(BaseTask):
    """One player, "model", from noisy images (B, C, H, W) and times (B,) to velocities (B, C, H, W).

    Noise and times of training depend on the seed, the step and the place in the batch alone; those of the scores on a
    sample's number alone, so that all runs are scored on the same. The metric is the mean squared error of the velocity
    over pixels, images and evenly spread times. The trivial answer knows each pixel's mean and standard deviation in
    training, and takes pixels for normal and independent: its velocity is the best one for such images."""

    metric = "velocity_mse"
    metric_scale = "positive"
    direction = "min"
    capturable = True
    loss_bound = DIVERGED_LOSS

    def __init__(
        self,
        model: nn.Module,
        data: ImageData,
        seeds: Seeds,
        *,
        times: str,
        eval_times: int,
        features: str | None,
        features_path: str | None,
    ) -> None:
        super().__init__(model, data, seeds)
        self.shape = tuple(data.sample_shape or ())
        if len(self.shape) != 3:
            raise ConfigError(
                f"The task diffusion needs images (channels, height, width), but samples have the shape {self.shape}"
            )
        self.data, self.seed, self.times, self.eval_times = data, seeds.augment, times, eval_times
        self.to_unit, self.device = GeneratorScale(data), data.mean.device
        self.features = features_for(features, self.shape).build(features_path) if features else None
        self.features_of_real = remembered(self.features) if self.features else None
        self._statistics: tuple[Tensor, Tensor] | None = None

    # -- training ----------------------------------------------------------------------------------------------------

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """Yield one step of the one player, at one time and with one noise for each image."""
        images = batch["inputs"]
        seed, place = counter_rng.mixed_seed(self.seed, step), torch.arange(len(images), device=images.device)
        noise = self.noise(seed, place, NOISE)
        times = self.drawn_times(seed, place)
        turn = {"inputs": mixed(noise, images, times), "times": times, "velocity": images - noise}
        yield Turn("model", turn, self.loss, self.sampled_loss)

    def drawn_times(self, seed: int, place: Tensor) -> Tensor:
        """Return times (B,) of training."""
        if self.times == "logit_normal":
            return counter_rng.normal(seed, place, 1, TIME)[:, 0].sigmoid().float()
        return counter_rng.uniform(seed, place, 1, TIME)[:, 0].float()

    def velocity(self, images: Tensor, times: Tensor) -> Tensor:
        """Return the model's velocity in float32. Raises ConfigError for another shape than that of the images."""
        found = scores(self.model, self.model(images, times), images.shape, "the velocity of each pixel")
        return found.float()

    def loss(self, batch: Batch) -> SumCount:
        """Return the sum of squared errors of the velocity, and the number of pixels."""
        target = batch["velocity"]
        found = self.velocity(batch["inputs"], batch["times"])
        return functional.mse_loss(found, target, reduction="sum"), target.numel()

    def sampled_loss(self, batch: Batch) -> SumCount:
        """Return the loss at velocities sampled from the normal distribution whose likelihood the loss is."""
        found = self.velocity(batch["inputs"], batch["times"])
        target = found.detach() + math.sqrt(0.5) * torch.randn_like(found)
        return functional.mse_loss(found, target, reduction="sum"), target.numel()

    # -- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Batch) -> Evaluation:
        """Return squared errors of the model's and of the trivial velocity; with features, also those of images."""
        images, index = batch["inputs"], batch["index"]
        errors, trivial = [], []
        for number in range(self.eval_times):
            times = ((index.double() * SPREAD) % 1 + number).float() / self.eval_times
            noise = self.noise(counter_rng.mixed_seed(SEED, number), index, SCORED)
            noisy, target = mixed(noise, images, times), images - noise
            errors.append((self.velocity(noisy, times) - target).double().square().sum())
            trivial.append((self.trivial_velocity(noisy, times) - target).double().square().sum())
        count = self.eval_times * images.numel()
        error = (torch.stack(errors).sum(), count)
        found: Evaluation = {"loss": error, "metric": error, "trivial": (torch.stack(trivial).sum(), count)}
        if self.features is None or self.features_of_real is None:
            return found
        real, fake = to_uint8(self.to_unit(images)), self.generated(index, GENERATED)
        return {**found, "real": self.features_of_real(real), "fake": self.features(fake)}

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the loss, which is the metric, the trivial answer's and, with features, the Fréchet distance."""
        means = {name: float(gathered[name]) for name in ("loss", "metric", "trivial")}
        if "real" not in gathered:
            return means
        return {**means, "frechet": frechet(moments(gathered["real"]), moments(gathered["fake"]))}

    def trivial_velocity(self, noisy: Tensor, times: Tensor) -> Tensor:
        """Return E[image - noise | noisy image] for normal, independent pixels with the training images' moments."""
        if self._statistics is None:
            self._statistics = pixel_statistics(self.data, lambda images: images)
        mean, std = self._statistics
        t, variance = expanded(times), std.square()
        slope = (t * variance - (1 - t)) / (t.square() * variance + (1 - t).square()).clamp_min(1e-12)
        return mean + slope * (noisy - t * mean)

    def pictures(self) -> dict[str, np.ndarray]:
        """Return a grid of generated images, from the same noise every time."""
        index = torch.arange(GRID_IMAGES, device=self.device)
        return {"generated": grid(self.generated(index, SHOWN)[:, :3])}

    def generated(self, index: Tensor, stream: int) -> Tensor:
        """Return uint8 images (B, C, H, W) from the noise of these numbers, by the midpoint method."""
        x, step = self.noise(SEED, index, stream), 1 / STEPS
        for number in range(STEPS):
            time = torch.full((len(index),), number * step, device=x.device)
            half = x + step / 2 * self.velocity(x, time)
            x = x + step * self.velocity(half, time + step / 2)
        return to_uint8(self.to_unit(x))

    def noise(self, seed: int, index: Tensor, stream: int) -> Tensor:
        """Return normal noise (B, C, H, W) of these samples."""
        return counter_rng.normal(seed, index, math.prod(self.shape), stream).float().view(-1, *self.shape)


def mixed(noise: Tensor, images: Tensor, times: Tensor) -> Tensor:
    """Return the noisy images at these times."""
    t = expanded(times)
    return (1 - t) * noise + t * images


def expanded(times: Tensor) -> Tensor:
    """Return times (B, 1, 1, 1), which multiply images."""
    return times[:, None, None, None]
