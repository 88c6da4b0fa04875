"""A process's place among the ranks of a run, from the configuration and torchrun's environment."""

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
    """A process's place among the ranks of a run."""

    rank: int
    world_size: int
    local_rank: int
    """Number among the ranks of its machine: which device it takes."""
    port: int | None = None
    """Of the store on this machine that rank 0 holds; None under torchrun, which has one."""


def rank_info_of(config: RunConfig) -> RankInfo | None:
    """This process's place; None where it is the only one.

    Raises ConfigError where devices=, strategy= and torchrun do not agree, MissingError where devices are missing."""
    launched = int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else None
    count = config.devices or launched or 1
    if launched is not None and count != launched:
        raise ConfigError(
            f"devices={count}: torchrun started {launched} ranks", "Leave devices= out, or start as many ranks"
        )
    if config.strategy == "fsdp":
        check_shardable(config)
    if count == 1:
        return None
    check_share(config, count)
    if launched is not None:
        rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
        check_devices(config, int(os.environ["LOCAL_WORLD_SIZE"]))
        return RankInfo(rank, count, local)
    check_devices(config, count)
    return RankInfo(0, count, 0)


def check_share(config: RunConfig, count: int) -> None:
    """ConfigError for a run that so many ranks cannot divide."""
    if config.batch_size < count:
        raise ConfigError(f"batch_size={config.batch_size} is smaller than the {count} ranks that share it")
    if torch.device(config.device if config.device != "auto" else "cpu").index is not None:
        raise ConfigError(f"device={config.device} names one device, and the run has {count} ranks", "Say device=cuda")


def check_devices(config: RunConfig, wanted: int) -> None:
    """MissingError where this machine has fewer devices than ranks."""
    kind = resolve_device(config.device).type
    there = torch.cuda.device_count() if kind == "cuda" else max(2, os.cpu_count() or 1)
    if wanted > there:
        what = "CUDA devices" if kind == "cuda" else "CPU cores"
        raise MissingError(f"devices={wanted}: this machine has {there} {what}", f"Say devices={there} or fewer")


def rank_device(name: str, rank_info: RankInfo) -> torch.device:
    """A rank's device: on CUDA the one of its number on its machine."""
    device = resolve_device(name)
    if device.type == "cuda":
        device = torch.device("cuda", rank_info.local_rank)
        torch.cuda.set_device(device)
    return device
