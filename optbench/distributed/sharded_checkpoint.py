"""Checkpoints of sharded runs: a folder of torch.distributed.checkpoint, to which every rank writes its parts, and
`rest.pt`, the tree in which they have their places. It is read by any number of ranks, or by one process as a whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import checkpoint
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.tensor import DTensor, Shard, zeros

from optbench.distributed.communicator import Communicator
from optbench.distributed.layouts import ELEMENTS
from optbench.distributed.sharding import FsdpShards
from optbench.distributed.state import Owned, branched, mapped, numbers_of
from optbench.errors import ConfigError

REST = "rest.pt"
PLACE = "optbench part"  # key of what stands in rest.pt where a tensor was


def write(folder: Path, tree: Mapping[str, Any], comm: Communicator) -> None:
    """Write a state to an empty folder, by all ranks; rank 0's word counts for what all have alike. Raises ConfigError
    where a rank does not see the folder."""
    if not min(comm.all_gather(folder.is_dir())):
        raise ConfigError(
            f"{folder.parent}: not every rank sees this folder",
            "Under strategy=fsdp every machine writes to it: share it",
        )
    tensors: dict[str, Tensor] = {}
    rest = emptied(tree, (), tensors)
    with quietly():
        checkpoint.save(tensors, storage_writer=FileSystemWriter(folder))
    rests = comm.all_gather(rest)
    if comm.rank == 0:
        for other in rests[1:]:
            rest = joined(rest, other)
        torch.save(rest, folder / REST)


def emptied(tree: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    """The tree with places where its sharded and owned tensors were, which are put into `tensors`."""
    if isinstance(tree, (DTensor, Owned)):
        tensor = tree.tensor if isinstance(tree, Owned) else tree
        key = "/".join(path)
        tensors[key] = tensor
        return {PLACE: key, "shape": list(tensor.shape), "dtype": tensor.dtype}
    if isinstance(tree, Tensor):
        return tree.cpu()
    if isinstance(tree, Mapping):
        return {key: emptied(value, (*path, str(key)), tensors) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(emptied(value, (*path, str(i)), tensors) for i, value in enumerate(tree))
    return tree


def joined(first: Any, other: Any) -> Any:
    """Two ranks' trees as one: what the first lacks is the other's."""
    if first is None:
        return other
    if isinstance(first, Mapping) and isinstance(other, Mapping):
        return {key: joined(first.get(key), other.get(key)) for key in {**first, **other}}
    if isinstance(first, list) and isinstance(other, list):
        return [joined(a, b) for a, b in zip(first, other, strict=True)]
    return first


def read_whole(folder: Path) -> Any:
    """The state with whole tensors on the CPU, by one process."""
    tensors: dict[str, Tensor] = {}

    def whole(blank: Tensor) -> Tensor:
        if blank.is_meta:
            tensors[key_of(blank)] = torch.zeros_like(blank, device="cpu")
        return tensors[key_of(blank)] if blank.is_meta else blank

    tree = mapped(rest_of(folder), whole)
    fill(folder, tensors)
    return tree


def rest_of(folder: Path) -> Any:
    """The tree with tensors on no device ("meta") in the places of its parts; no code of the file is run."""
    return with_blanks(torch.load(folder / REST, map_location="cpu", weights_only=True))


def with_blanks(tree: Any) -> Any:
    """The tree with tensors on no device in its places."""
    if isinstance(tree, Mapping) and PLACE in tree:
        blank = torch.empty(tree["shape"], dtype=tree["dtype"], device="meta")
        blank.optbench_key = tree[PLACE]  # type: ignore[attr-defined]
        return blank
    if isinstance(tree, Mapping):
        return {key: with_blanks(value) for key, value in tree.items()}
    return type(tree)(map(with_blanks, tree)) if isinstance(tree, (list, tuple)) else tree


def key_of(blank: Tensor) -> str:
    """Under which name the files have what belongs in a place."""
    return blank.optbench_key  # type: ignore[attr-defined]


def read_parts(folder: Path, shards: Mapping[str, tuple[FsdpShards, Any]]) -> Any:
    """The state of a Trainer with the tensors that this rank has of sharded networks, by player, and their optimizers.
    Each rank reads for itself."""
    tree = rest_of(folder)["trainer"]
    tensors: dict[str, Tensor] = {}

    def rows(blank: Tensor) -> Tensor:
        if blank.is_meta:
            tensors[key_of(blank)] = blank_rows(blank, next(iter(shards.values()))[0])
        return tensors[key_of(blank)] if blank.is_meta else blank

    def owned(blank: Tensor, rank_has_it: bool, device: torch.device) -> Tensor:
        if not rank_has_it:
            return blank.new_zeros((0, *blank.shape[1:]), device=device)
        tensors[key_of(blank)] = torch.zeros_like(blank, device=device)
        return tensors[key_of(blank)]

    for name, (part, optimizer) in shards.items():
        player = tree["players"][name]
        player["module"] = mapped(player["module"], rows)

        def here(branch: Any, i: int, part: FsdpShards = part) -> Any:
            if part.layout == ELEMENTS:
                return mapped(branch, rows)
            has = len(part.stand_ins[i]) > 0
            return mapped(branch, lambda blank: owned(blank, has, part.comm.device) if blank.is_meta else blank)

        player["optimizer"] = branched(player["optimizer"], numbers_of(part, optimizer), here)
    fill(folder, tensors)
    return tree


def blank_rows(blank: Tensor, shards: FsdpShards) -> DTensor:
    """Memory for this rank's rows of a tensor."""
    return zeros(blank.shape, dtype=blank.dtype, device_mesh=shards.parts[0].device_mesh, placements=[Shard(0)])


def fill(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Read what is asked for of the folder's parts into tensors, by name."""
    with quietly():
        checkpoint.load(tensors, storage_reader=FileSystemReader(folder), no_dist=True)


@contextmanager
def quietly() -> Iterator[None]:
    """Without torch's words on what it is asked for: a rank that reads for itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
