"""Generation of images by two players, scored by the Fréchet distance of features between real and generated ones."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, Evaluation, ImageData, Seeds, SumCount, Turn
from optbench.tasks.base import BaseTask
from optbench.tasks.generative.distances import frechet, moments, precision_recall
from optbench.tasks.generative.features import chosen
from optbench.tasks.generative.grid import grid
from optbench.tasks.generative.losses import LOSSES, gradient_penalty

SEED = 20260103  # a constant: every run is scored and shown at the same noise
SCORED, PLAIN, SHOWN = range(3)  # streams of that noise
PICTURED = 64  # generated images in the grid
PIECE = 512  # images of the trivial answer made at once


class ImageGeneration(BaseTask):
    """Two players: a generator from noise (B, generator.noise) to images in (-1, 1), and a discriminator from such
    images to scores (B,)."""

    direction = "min"

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
        self._resting = {name: Resting(network) for name, network in model.items()}
        self.objective, self.penalty, self.n_critic = LOSSES[loss], gradient_penalty, n_critic
        chosen_features = chosen(features, data.sample_shape)
        self.metric, self.features = chosen_features.metric, chosen_features.build(features_path)
        self.data, self.shape = data, data.sample_shape
        self._scale, self._shift = 2 * data.std, 2 * data.mean - 1
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._pixels: tuple[Tensor, Tensor] | None = None
        self._known: dict[str, Tensor] = {}
        self._trivial: dict[str, float] = {}

    # -- training ----------------------------------------------------------------------------------------------------

    def turns(self, batch: Batch, step: int) -> Iterator[Turn]:
        """The discriminator's, and after every n_critic of them, and at step 0, the generator's. Noise is drawn here,
        once a turn, so that micro-batches and closures see the same."""
        real = self._signed(batch["inputs"])
        drawn = {"noise": self._noise(real)}
        if self.penalty:
            drawn["share"] = torch.rand(len(real), 1, device=real.device)
        self._seen = []
        with self._resting["generator"].at_rest():
            yield Turn("discriminator", {"real": real, **drawn}, self.discriminator_loss)
        getattr(self.discriminator, "renew", lambda: None)()
        if step == 0 or (step + 1) % self.n_critic == 0:  # on the steps that are recorded, where it divides them
            with self._resting["discriminator"].at_rest():
                yield Turn("generator", {"noise": self._noise(real)}, self.generator_loss)

    def discriminator_loss(self, batch: Batch) -> SumCount:
        """Summed loss of telling real from generated images, which get no gradient, with its penalty; samples."""
        real, fake = batch["real"], self.generator(batch["noise"]).detach()
        real_scores, fake_scores = self.discriminator(real), self.discriminator(fake)
        self._seen.append((real, fake, real_scores.detach(), fake_scores.detach()))
        total = self.objective.discriminator(real_scores, fake_scores).sum()
        if self.penalty:
            total = total + self.penalty * gradient_penalty(self.discriminator, real, fake, batch["share"])
        return total, len(real)

    def generator_loss(self, batch: Batch) -> SumCount:
        """Summed loss of generated images that are told from real ones; samples."""
        scores = self.discriminator(self.generator(batch["noise"]))
        return self.objective.generator(scores).sum(), len(scores)

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.generator.noise, device=like.device)

    def _signed(self, inputs: Tensor) -> Tensor:
        """Normalised images on the generator's scale, -1 to 1."""
        return inputs * self._scale + self._shift

    def diverged(self, loss: float) -> str:
        """Not finite, or beyond the bound on either side: these losses may be negative."""
        return super().diverged(math.copysign(1, loss) * loss) if math.isfinite(loss) else super().diverged(loss)

    @property
    def loss_bound(self) -> float:  # type: ignore[override]
        """The size of a loss beyond which a run has diverged."""
        return self.objective.bound

    # -- what is measured --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """How well the discriminator tells the last step's images apart, and how much the generated ones differ."""
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
        """The discriminator's loss without penalty, and features of the real and of as many generated images."""
        real, fake = self._signed(batch["inputs"]), self._generated(batch["index"], SCORED)
        scores = [self.discriminator(images).float() for images in (real, fake)]
        return {
            "loss": (self.objective.discriminator(*scores).sum(), len(real)),
            "real": self._remembered(pictured(real)),
            "fake": self.features(pictured(fake)),
            "index": batch["index"],
        }

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """Fréchet distance, precision and recall; trivial is the distance of normal pixels, each with its own mean and
        standard deviation in the training part and independent of the others."""
        real, fake = gathered["real"], gathered["fake"]
        precision, recall = precision_recall(real, fake)
        return {
            "loss": float(gathered["loss"]),
            "metric": frechet(moments(real), moments(fake)),
            "trivial": self._trivial_distance(real, gathered["index"]),
            "precision": precision,
            "recall": recall,
        }

    def pictures(self) -> dict[str, Any]:
        """A grid of generated images at the same noise every time."""
        index = torch.arange(PICTURED, device=self._scale.device)
        return {"generated": grid(pictured(self._generated(index, SHOWN)))}

    def _remembered(self, images: Tensor) -> Tensor:
        """Features of real images, computed once: a large classifier takes longer than a small generator."""
        key = content_sha256(images)
        if key not in self._known:
            self._known[key] = self.features(images)
        return self._known[key]

    def _generated(self, index: Tensor, stream: int) -> Tensor:
        return self.generator(counter_rng.normal(SEED, index, self.generator.noise, stream).float())

    def _trivial_distance(self, real: Tensor, index: Tensor) -> float:
        """Computed once for each set of real features."""
        key = content_sha256(real)
        if key not in self._trivial:
            made = torch.cat([self.features(self._normal_pixels(part)) for part in index.split(PIECE)])
            self._trivial[key] = frechet(moments(real), moments(made))
        return self._trivial[key]

    def _normal_pixels(self, index: Tensor) -> Tensor:
        if self._pixels is None:
            self._pixels = self._pixel_statistics()
        mean, std = self._pixels
        noise = counter_rng.normal(SEED, index, math.prod(self.shape), PLAIN).float().view(-1, *self.shape)
        return pictured(mean + std * noise)

    def _pixel_statistics(self, limit: int = 10_000) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every pixel over at most `limit` training images, (C, H, W) each."""
        sums: Any = 0.0
        squares: Any = 0.0
        count = 0
        for batch in self.data.eval_batches("train", PIECE, limit):
            images = self._signed(batch["inputs"]).double()
            sums, squares, count = sums + images.sum(0), squares + images.square().sum(0), count + len(images)
        mean = sums / count
        return mean.float(), (squares / count - mean.square()).clamp_min(0).sqrt().float()


def content_sha256(tensor: Tensor) -> str:
    """Hash of a tensor's values."""
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()


def pictured(images: Tensor) -> Tensor:
    """Images on the scale -1 to 1 as uint8, as they would be saved."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().nan_to_num(0).to(torch.uint8)


class Resting:
    """A player in the turn of the other: no gradient of its parameters, and batches leave no trace in its running
    statistics."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.norms = [module for module in network.modules() if getattr(module, "track_running_stats", False)]

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """For the length of a turn."""
        self._set(False)
        try:
            yield
        finally:
            self._set(True)

    def _set(self, moving: bool) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(moving)
        for norm in self.norms:
            norm.track_running_stats = moving
