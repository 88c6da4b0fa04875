"""How many images per second does our input pipeline deliver, compared with torchvision's?

    optbench bench input data=imagefolder data.path=FOLDER data.image_size=224

Both read the same folder and put batches on the device, without a model. torchvision's is the usual code: ImageFolder,
RandomResizedCrop, RandomHorizontalFlip, RandAugment if on, ToTensor, Normalize, MixUp or CutMix if on, DataLoader. They
take turns in one process with the same number of workers. Each turn starts the workers, skips the first batches, and
times the following ones.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch

from optbench.benches import Report, goal_line, synchronizer
from optbench.benches.feeding.torchvision import torchvision_batches
from optbench.config import RunConfig, imports
from optbench.contracts import Batch, ImageData
from optbench.data.imagefolder import ImageFolder
from optbench.errors import ConfigError
from optbench.sessions.assemble import data_root
from optbench.training.device import configure_torch, resolve_device
from optbench.training.seeding import seed_all, seeds_of

log = logging.getLogger(__name__)
GOAL_RATIO = 1.0  # our images per second divided by torchvision's
Batches = Callable[[], Iterator[Batch]]


def measure(config: RunConfig, workers: str = "0,1,2", images: int = 2048, rounds: int = 5) -> Report:
    """Return the images per second of both pipelines for each number of workers.

    `workers`: numbers of worker processes separated by commas. `images`: timed images per turn. `rounds`: turns of
    each pipeline."""
    device = resolve_device(config.device)
    configure_torch(config, device)
    seed_all(seeds_of(config.seed).init)
    if rounds < 1 or images < 1:
        raise ConfigError(f"rounds={rounds} images={images}: both must be at least 1")
    folder = image_folder(config)
    rows = []
    for count in worker_counts(workers):
        log.info(f"{count} workers")
        data = streamed(config, count, device)
        ours = lambda data=data: data.train_batches(config.batch_size)  # noqa: E731
        theirs = torchvision_batches(folder, config, count, data.classes, device)
        rows.append({"workers": count, **compare(ours, theirs, config.batch_size, images, rounds, device)})
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


def worker_counts(text: str) -> list[int]:
    """Return the numbers in `text`. Raises ConfigError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"workers={text}: expected numbers of processes separated by commas, e.g. 0,1,2")
    return [int(part) for part in parts]


def image_folder(config: RunConfig) -> Path:
    """Return the folder of training images. Raises ConfigError for other data, MissingError if it does not exist."""
    source = imports.load(config.data.target)(**config.data.settings)
    if not isinstance(source, ImageFolder):
        raise ConfigError(
            f"data={config.data.name} is not a folder of image files, which torchvision could read",
            "Use data=imagefolder or data=imagenet with data.path=FOLDER",
        )
    return source.train_folder(data_root(config))


def streamed(config: RunConfig, workers: int, device: torch.device) -> ImageData:
    """Return the data set as streamed from files, never held in memory."""
    settings = {**config.data.settings, "in_memory_bytes": 0, "workers": workers}
    source = imports.load(config.data.target)(**settings)
    return cast(ImageData, source.load(data_root(config), device, seeds_of(config.seed)))


def compare(ours: Batches, theirs: Batches, batch_size: int, images: int, rounds: int, device: torch.device) -> Report:
    """Return the median rates over the rounds, and the median and range of their ratio."""
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
    """Return the rate of a new stream, after a quarter as many untimed batches."""
    timed = max(2, images // batch_size)
    stream = batches()
    wait = synchronizer(device)
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


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    text = [
        f"images per second of {report['data']}: {report['image_size']} pixels, batch {report['batch_size']}, "
        f"{report['device']}, {report['threads']} threads, RandAugment {report['randaugment']:g}; medians of "
        f"{report['rounds']} turns of {report['images']} images",
        f"  {'workers':>7} {'optbench':>12} {'torchvision':>12} {'ratio':>7}   range of the ratio",
    ]
    for row in report["rows"]:
        rates = f"{row['ours_images_per_second']:7.0f} im/s {row['torchvision_images_per_second']:7.0f} im/s"
        spread = f"{row['ratio_lowest']:.3f} to {row['ratio_highest']:.3f}"
        text.append(f"  {row['workers']:7d} {rates} {row['ratio']:7.3f}   {spread}")
    return [*text, goal_line(report)]
