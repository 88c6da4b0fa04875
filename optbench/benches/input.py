"""The speed of the input pipeline alone: images a second from files to batches on the device, without a model.

    optbench bench input data=imagefolder data.path=FOLDER data.image_size=224

Ours against what one writes with torchvision (ImageFolder, RandomResizedCrop, RandomHorizontalFlip, RandAugment where
it is on, ToTensor, Normalize, MixUp or CutMix where they are on, DataLoader) for the same work: the same folder, crops
of the same sizes, batches of `batch_size` on the same device. Both take turns in one process with the same number of
workers; each turn starts its workers, lets the first batches pass, and times those that follow.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from optbench.benches.feeding.torchvision import torchvision_batches
from optbench.config import RunConfig, imports
from optbench.contracts import Batch, DataSet
from optbench.data.imagefolder import ImageFolder
from optbench.errors import ConfigError
from optbench.sessions.assemble import data_root
from optbench.training.device import configure_torch, resolve_device
from optbench.training.seeding import seed_all, seeds_of

log = logging.getLogger(__name__)

SETTINGS = {"workers": "0,1,2", "images": 2048, "rounds": 5}
"""What the command line may say: numbers of worker processes separated by commas, images timed in a turn, turns of
each."""
GOAL_RATIO = 1.0  # ours to torchvision's, images a second

Batches = Callable[[], Iterator[Batch]]


def measure(config: RunConfig, workers: str = "0,1,2", images: int = 2048, rounds: int = 5) -> dict[str, Any]:
    """Images a second of both pipelines for each number of workers."""
    device = resolve_device(config.device)
    configure_torch(config.threads, config.deterministic)
    seed_all(seeds_of(config.seed).init)
    if rounds < 1 or images < 1:
        raise ConfigError(f"rounds={rounds} images={images}: at least one turn and one image are needed")
    folder = image_folder(config)
    rows = []
    for count in numbers(workers):
        log.info(f"{count} workers")
        data = streamed(config, count, device)
        ours = lambda data=data: data.train_batches(config.batch_size)  # noqa: E731
        theirs = torchvision_batches(folder, config, count, data.classes, device)
        rows.append({"workers": count, **duel(ours, theirs, config.batch_size, images, rounds, device)})
    return {
        "data": config.data.name,
        "image_size": config.data.settings["image_size"],
        "batch_size": config.batch_size,
        "device": device.type,
        "threads": config.threads,
        "images": images,
        "rounds": rounds,
        "randaugment": config.data.settings["randaugment"],
        "rows": rows,
        "goal": f"ratio >= {GOAL_RATIO:g}",
        "goal_holds": all(row["ratio"] >= GOAL_RATIO for row in rows),
    }


def numbers(text: str) -> list[int]:
    """Worker counts in `text`; ConfigError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"workers={text}: expected numbers of processes separated by commas, e.g. 0,1,2")
    return [int(part) for part in parts]


def image_folder(config: RunConfig) -> Path:
    """The folder with train/ that both read. ConfigError for a set that is none; MissingError where it is absent."""
    source = imports.load(config.data.target)(**config.data.settings)
    if not isinstance(source, ImageFolder):
        raise ConfigError(
            f"data={config.data.name} is no folder of image files, which torchvision could read as well",
            "Take data=imagefolder or data=imagenet with data.path=FOLDER",
        )
    return source.train_folder(data_root(config))


def streamed(config: RunConfig, workers: int, device: torch.device) -> DataSet:
    """The set as it is where it does not fit into memory."""
    settings = {**config.data.settings, "in_memory_bytes": 0, "workers": workers}
    source = imports.load(config.data.target)(**settings)
    return source.load(data_root(config), device, seeds_of(config.seed))


def duel(
    ours: Batches, theirs: Batches, batch_size: int, images: int, rounds: int, device: torch.device
) -> dict[str, Any]:
    """Medians of both over the rounds, and the median of their ratios with its range."""
    rates: dict[str, list[float]] = {"ours": [], "torchvision": []}
    for turn in range(rounds):
        order = [("ours", ours), ("torchvision", theirs)]
        for name, batches in order if turn % 2 == 0 else reversed(order):
            rates[name].append(images_per_second(batches, batch_size, images, device))
    ratios = [a / b for a, b in zip(rates["ours"], rates["torchvision"], strict=True)]
    return {
        "ours_images_per_second": statistics.median(rates["ours"]),
        "torchvision_images_per_second": statistics.median(rates["torchvision"]),
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
    }


def images_per_second(batches: Batches, batch_size: int, images: int, device: torch.device) -> float:
    """The rate after the workers are at work: a quarter of the batches passes untimed."""
    timed = max(2, images // batch_size)
    stream = batches()
    wait: Callable[[], Any] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    try:
        for _ in range(max(1, timed // 4)):
            next(stream)
        wait()
        began = time.perf_counter()
        for _ in range(timed):
            next(stream)
        wait()
        return timed * batch_size / (time.perf_counter() - began)
    finally:
        getattr(stream, "close", lambda: None)()


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    text = [
        f"input of {found['data']}, {found['image_size']} pixels, batch {found['batch_size']}, {found['device']}, "
        f"{found['threads']} threads, RandAugment {found['randaugment']:g}, {found['rounds']} turns of "
        f"{found['images']} images",
        f"  {'workers':>7} {'optbench':>12} {'torchvision':>12} {'ratio':>7}   of single turns",
    ]
    for row in found["rows"]:
        rates = f"{row['ours_images_per_second']:8.0f} im/s {row['torchvision_images_per_second']:7.0f} im/s"
        spread = f"{row['ratio_lowest']:.3f} to {row['ratio_highest']:.3f}"
        text.append(f"  {row['workers']:7d} {rates} {row['ratio']:7.3f}   {spread}")
    return [*text, f"  goal        {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}"]
