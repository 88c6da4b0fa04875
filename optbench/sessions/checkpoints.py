"""Reading of checkpoints; code in the files is never executed."""

from __future__ import annotations

from pathlib import Path

import torch

from optbench.distributed.sharded_checkpoint import load_tree, load_whole
from optbench.training.plan import State


def read_checkpoint(path: Path) -> State:
    """Return a checkpoint: plain values and whole tensors on the CPU."""
    if path.is_dir():
        return load_whole(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def read_for_shards(path: Path) -> State:
    """Return a checkpoint for a sharded run. If it is a folder, "trainer" is its path, and each rank reads from it."""
    return {**load_tree(path), "trainer": path} if path.is_dir() else read_checkpoint(path)
