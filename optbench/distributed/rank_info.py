"""The rank of this process, from the configuration and torchrun's environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from optbench.config import RunConfig
from optbench.distributed.layouts import check_shardable
from optbench.errors import ConfigError, MissingError
from optbench.training.device import resolve_device


@dataclass(frozen=True)
class RankInfo:
    """A process's number among the ranks of a run."""

    rank: int
    world_size: int
    local_rank: int
    """Number among the ranks of its machine; selects the device."""
    port: int | None = None
    """Port of rank 0's store on this machine; None under torchrun, which has its own store."""


def in_torchrun() -> bool:
    """Return True if torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank_info_of(config: RunConfig) -> RankInfo | None:
    """Return the rank of this process; None if it is the only one.

    Raises ConfigError if devices=, strategy= and torchrun do not agree, MissingError if devices are missing."""
    launched = int(os.environ["WORLD_SIZE"]) if in_torchrun() else None
    count = config.devices or launched or 1
    if launched is not None and count != launched:
        raise ConfigError(
            f"devices={count}: torchrun started {launched} ranks", "Leave out devices=, or start as many ranks"
        )
    if config.strategy == "fsdp":
        check_shardable(config)
    if count == 1:
        return None
    check_divisible(config, count)
    if launched is not None:
        rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
        check_devices(config, int(os.environ["LOCAL_WORLD_SIZE"]))
        return RankInfo(rank, count, local)
    check_devices(config, count)
    return RankInfo(0, count, 0)


def check_divisible(config: RunConfig, count: int) -> None:
    """Raise ConfigError if the run cannot be divided among `count` ranks."""
    if config.batch_size < count:
        raise ConfigError(f"batch_size={config.batch_size} is smaller than the number of ranks, {count}")
    if torch.device(config.device if config.device != "auto" else "cpu").index is not None:
        raise ConfigError(f"device={config.device} names one device, but the run has {count} ranks", "Use device=cuda")


def check_devices(config: RunConfig, wanted: int) -> None:
    """Raise MissingError if this machine has fewer devices than ranks."""
    kind = resolve_device(config.device).type
    present = torch.cuda.device_count() if kind == "cuda" else max(2, os.cpu_count() or 1)
    if wanted > present:
        what = "CUDA devices" if kind == "cuda" else "CPU cores"
        raise MissingError(
            f"devices={wanted}: this machine has only {present} {what}", f"Use devices={present} or fewer"
        )


def rank_device(name: str, rank_info: RankInfo) -> torch.device:
    """Return a rank's device: on CUDA, the one with its local rank."""
    device = resolve_device(name)
    if device.type == "cuda":
        device = torch.device("cuda", rank_info.local_rank)
        torch.cuda.set_device(device)
    return device
