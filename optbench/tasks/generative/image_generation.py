"""Generation of images by two players, scored by the Fréchet distance between features of real and generated ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, Evaluation, ImageData, Renewable, Seeds, SumCount, Turn
from optbench.tasks.base import BaseTask
from optbench.tasks.generative.distances import frechet, moments, precision_recall
from optbench.tasks.generative.features import features_for, remembered
from optbench.tasks.generative.freezing import FreezablePlayer
from optbench.tasks.generative.grid import grid
from optbench.tasks.generative.losses import LOSSES, gradient_penalty
from optbench.tasks.generative.scale import GeneratorScale, to_uint8
from optbench.tasks.generative.trivial import TrivialAnswer

if TYPE_CHECKING:
    import numpy as np

SEED = 20260103  # a constant: every run is scored and shown at the same noise
SCORED, TRIVIAL, SHOWN = range(3)  # streams of that noise
GRID_IMAGES = 64


class ImageGeneration(BaseTask):
    """Two players: a generator from noise (B, generator.noise) to images in (-1, 1), and a discriminator from such
    images to scores (B,)."""

    direction = "min"
    metric_scale = "decades"
    capturable = True

    def __init__(
        self,
        model: nn.ModuleDict,
        data: ImageData,
        seeds: Seeds,
        *,
        loss: str,
        gradient_penalty: float,
        n_critic: int,
        features: str,
        features_path: str | None,
    ) -> None:
        self.generator, self.discriminator = model["generator"], model["discriminator"]
        self.players: Mapping[str, nn.Module] = dict(model.items())
        self._freezable = {name: FreezablePlayer(network) for name, network in model.items()}
        self._renewable = self.discriminator if isinstance(self.discriminator, Renewable) else None
        noise = self.generator.noise
        assert isinstance(noise, int)
        self.noise_length = noise
        self.objective, self.penalty, self.n_critic = LOSSES[loss], gradient_penalty, n_critic
        self.loss_bound = self.objective.bound
        chosen = features_for(features, data.sample_shape)
        self.metric, self.features = chosen.metric, chosen.build(features_path)
        self.features_of_real = remembered(self.features)
        self.scale, self.device = GeneratorScale(data), data.mean.device
        self.trivial = TrivialAnswer(data, self.features, SEED, TRIVIAL)
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    # -- training ----------------------------------------------------------------------------------------------------

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """Yield the discriminator's turn and, at step 0 and every n_critic steps, the generator's.

        Noise is drawn here once per turn, so that micro-batches and closures see the same noise."""
        real = self.scale(batch["inputs"])
        drawn = {"noise": self._noise(real)}
        if self.penalty:
            drawn["share"] = torch.rand(len(real), 1, device=real.device)
        self._seen = []
        with self._freezable["generator"].frozen():
            yield Turn("discriminator", {"real": real, **drawn}, self.discriminator_loss)
        if self._renewable is not None:
            self._renewable.renew()
        if step == 0 or (step + 1) % self.n_critic == 0:  # these are recorded steps if n_critic divides record_every
            with self._freezable["discriminator"].frozen():
                yield Turn("generator", {"noise": self._noise(real)}, self.generator_loss)

    def discriminator_loss(self, batch: Batch) -> SumCount:
        """Return the summed loss on real and generated images, with its penalty, and the number of samples.

        Generated images get no gradient."""
        real, fake = batch["real"], self.generator(batch["noise"]).detach()
        real_scores, fake_scores = self.discriminator(real), self.discriminator(fake)
        self._seen.append((real, fake, real_scores.detach(), fake_scores.detach()))
        total = self.objective.discriminator(real_scores, fake_scores).sum()
        if self.penalty:
            total = total + self.penalty * gradient_penalty(self.discriminator, real, fake, batch["share"])
        return total, len(real)

    def generator_loss(self, batch: Batch) -> SumCount:
        """Return the generator's summed loss on generated images, and the number of samples."""
        scores = self.discriminator(self.generator(batch["noise"]))
        return self.objective.generator(scores).sum(), len(scores)

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.noise_length, device=like.device)

    def diverged(self, loss: float) -> str:
        """Return the reason if the loss is not finite or its size exceeds the bound; these losses may be negative."""
        return super().diverged(abs(loss) if math.isfinite(loss) else loss)

    # -- evaluation --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """Return the discriminator's scores and accuracy on the last step's images, and the generator's diversity.

        Diversity is the ratio of standard deviations over images, generated to real."""
        if not self._seen:
            return {}
        real, fake, real_scores, fake_scores = (torch.cat(parts).float() for parts in zip(*self._seen, strict=True))
        spread = [images.var(0, correction=0).sum() for images in (fake, real)]
        return {
            "real_score": float(real_scores.mean()),
            "fake_score": float(fake_scores.mean()),
            "discriminator_accuracy": float((real_scores[:, None] > fake_scores).double().mean()),
            "fake_diversity": float((spread[0] / spread[1].clamp_min(1e-12)).sqrt()),
        }

    def evaluate(self, batch: Batch) -> Evaluation:
        """Return the discriminator's loss without penalty, and features of real and equally many generated images."""
        real, fake = self.scale(batch["inputs"]), self._generated(batch["index"], SCORED)
        scores = [self.discriminator(images).float() for images in (real, fake)]
        return {
            "loss": (self.objective.discriminator(*scores).sum(), len(real)),
            "real": self.features_of_real(to_uint8(real)),
            "fake": self.features(to_uint8(fake)),
            "index": batch["index"],
        }

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Return loss, Fréchet distance, precision and recall, and the trivial answer's distance."""
        real, fake = gathered["real"], gathered["fake"]
        precision, recall = precision_recall(real, fake)
        return {
            "loss": float(gathered["loss"]),
            "metric": frechet(moments(real), moments(fake)),
            "trivial": self.trivial.distance(real, gathered["index"]),
            "precision": precision,
            "recall": recall,
        }

    def pictures(self) -> dict[str, np.ndarray]:
        """Return a grid of generated images, at the same noise every time."""
        index = torch.arange(GRID_IMAGES, device=self.device)
        return {"generated": grid(to_uint8(self._generated(index, SHOWN)))}

    def _generated(self, index: Tensor, stream: int) -> Tensor:
        return self.generator(counter_rng.normal(SEED, index, self.noise_length, stream).float())
