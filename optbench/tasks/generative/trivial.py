"""The trivial answer of image generation: independent normal pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from optbench import counter_rng
from optbench.contracts import ImageData
from optbench.tasks.generative.distances import frechet, moments
from optbench.tasks.generative.features import content_sha256
from optbench.tasks.generative.scale import GeneratorScale, to_uint8

BATCH = 512  # images at once
STATISTICS_IMAGES = 10_000  # training images for the statistics of pixels, at most


class TrivialAnswer:
    """Images whose pixels are normal and independent, with each pixel's mean and standard deviation in training."""

    def __init__(self, data: ImageData, features: Callable[[Tensor], Tensor], seed: int, stream: int) -> None:
        self.data, self.features, self.seed, self.stream = data, features, seed, stream
        self.scale = GeneratorScale(data)
        self._statistics: tuple[Tensor, Tensor] | None = None
        self._distances: dict[str, float] = {}

    def distance(self, real: Tensor, index: Tensor) -> float:
        """Return the Fréchet distance to features of real images; computed once for each set of real features."""
        key = content_sha256(real)
        if key not in self._distances:
            fake = torch.cat([self.features(self._images(part)) for part in index.split(BATCH)])
            self._distances[key] = frechet(moments(real), moments(fake))
        return self._distances[key]

    def _images(self, index: Tensor) -> Tensor:
        if self._statistics is None:
            self._statistics = pixel_statistics(self.data, self.scale)
        mean, std = self._statistics
        shape = self.data.sample_shape
        noise = counter_rng.normal(self.seed, index, math.prod(shape), self.stream).float().view(-1, *shape)
        return to_uint8(mean + std * noise)


def pixel_statistics(data: ImageData, scale: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every pixel over training images on this scale, (C, H, W) each."""
    sums = torch.zeros(tuple(data.sample_shape), dtype=torch.float64, device=data.mean.device)
    squares, count = torch.zeros_like(sums), 0
    for batch in data.eval_batches("train", BATCH, STATISTICS_IMAGES):
        images = scale(batch["inputs"]).double()
        sums, squares, count = sums + images.sum(0), squares + images.square().sum(0), count + len(images)
    mean = sums / count
    return mean.float(), (squares / count - mean.square()).clamp_min(0).sqrt().float()
