"""Reading of checkpoints; code in the files is never executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from optbench.distributed.sharded_checkpoint import load_tree, load_whole
from optbench.records import SCHEMA
from optbench.training.plan import State

FIELDS: dict[str, tuple[type, ...]] = {
    "run_id": (str,),
    "data_sha256": (str, type(None)),
    "records_bytes": (int,),
    "resumed_from_steps": (list,),
    "trainer": (dict, Path),
}


def read_checkpoint(path: Path) -> State:
    """Return a checkpoint: plain values and whole tensors on the CPU. Raises ValueError for another schema."""
    return checked(load_whole(path) if path.is_dir() else torch.load(path, map_location="cpu", weights_only=True))


def read_for_shards(path: Path) -> State:
    """Return a checkpoint for a sharded run. If it is a folder, "trainer" is its path, and each rank reads from it."""
    return checked({**load_tree(path), "trainer": path}) if path.is_dir() else read_checkpoint(path)


def checked(state: Any) -> State:
    """Return the content of a checkpoint. Raises ValueError if it isn't one of this version."""
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}: another version of optbench wrote it")
    for field, kinds in FIELDS.items():
        if not isinstance(state.get(field), kinds):
            raise ValueError(f"{field!r} is missing or of the wrong kind")
    return state
