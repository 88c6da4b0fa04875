"""The usual torchvision pipeline for the work of a streamed image set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from optbench.config import RunConfig
from optbench.contracts import Batch

if TYPE_CHECKING:
    from PIL.Image import Image

BINS_PER_LEVEL = 3  # torchvision counts RandAugment's magnitudes from 0 to 30


def torchvision_batches(
    folder: Path, config: RunConfig, workers: int, classes: int, device: torch.device
) -> Callable[[], Iterator[Batch]]:
    """Return endless normalised training batches of the class folders in `folder`, as in a run of this config."""
    from torchvision.datasets import ImageFolder

    samples = ImageFolder(str(folder), transform(config.data.settings))
    mix = mixing(config.data.settings["augment"], classes)
    loading = {"batch_size": config.batch_size, "num_workers": workers, "prefetch_factor": 4 if workers else None}

    def batches() -> Iterator[Batch]:
        loader = torch.utils.data.DataLoader(
            samples, shuffle=True, drop_last=True, pin_memory=device.type == "cuda", **loading
        )
        for images, labels in itertools.chain.from_iterable(itertools.repeat(loader)):
            moved = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            inputs, targets = mix(*moved)
            yield {"inputs": inputs, "labels": targets}

    return batches


def transform(settings: Mapping[str, Any]) -> Callable[[Image], Tensor]:
    """Return the usual training transform of one image."""
    from torchvision import transforms

    steps: list[Callable] = [
        transforms.RandomResizedCrop(settings["image_size"], scale=(settings["crop_scale"], 1.0)),
    ]
    if settings["augment"]["flip"]:
        steps.append(transforms.RandomHorizontalFlip())
    if settings["randaugment"]:
        steps.append(transforms.RandAugment(2, round(BINS_PER_LEVEL * settings["randaugment"])))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(settings["mean"], settings["std"])])


def mixing(augment: Mapping[str, Any], classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return MixUp, CutMix or a random choice of them for a batch; the identity if the settings have neither."""
    from torchvision.transforms import v2

    kinds = (("mixup", v2.MixUp), ("cutmix", v2.CutMix))
    chosen = [kind(alpha=augment[name], num_classes=classes) for name, kind in kinds if augment[name]]
    return v2.RandomChoice(chosen) if chosen else lambda images, labels: (images, labels)
