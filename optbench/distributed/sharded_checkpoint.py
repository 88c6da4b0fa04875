"""Checkpoints of sharded runs: a folder of torch.distributed.checkpoint, to which every rank writes its shards, and
`rest.pt`, the tree of all other values with placeholders for the tensors. Any number of ranks can read it, or one
process as a whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, Shard, zeros

from optbench.distributed.checkpoint_reader import CodeFreeReader
from optbench.distributed.communicator import TorchCommunicator
from optbench.distributed.layouts import ELEMENTS
from optbench.distributed.partition import Partition
from optbench.distributed.state import OwnedTensor, Placeholder, map_branches, map_leaves, parameter_numbers
from optbench.errors import ConfigError
from optbench.optimizers.core.interface import Optimizer
from optbench.training.plan import State

REST = "rest.pt"
PLACEHOLDER = "optbench part"  # key of a placeholder in rest.pt


# -- writing -----------------------------------------------------------------------------------------------------------


def save_sharded(folder: Path, tree: Mapping[str, object], comm: TorchCommunicator) -> None:
    """Write a state to an empty folder, from all ranks; values without shards are rank 0's.

    Raises ConfigError if a rank does not see the folder."""
    if not min(comm.all_gather(folder.is_dir())):
        raise ConfigError(
            f"{folder.parent}: not every rank sees this folder",
            "With strategy=fsdp all machines write to it: put it on a shared file system",
        )
    tensors: dict[str, Tensor] = {}
    rest = extract_tensors(tree, (), tensors)
    with plain_errors():
        save(tensors, storage_writer=FileSystemWriter(folder))
    rests = comm.all_gather(rest)
    if comm.rank == 0:
        for other in rests[1:]:
            rest = merged(rest, other)
        torch.save(rest, folder / REST)


def extract_tensors(tree: object, path: tuple[str, ...], tensors: dict[str, Tensor]) -> object:
    """Return the tree with placeholders for sharded and owned tensors, and put those into `tensors`."""
    if isinstance(tree, (DTensor, OwnedTensor)):
        tensor = tree.tensor if isinstance(tree, OwnedTensor) else tree
        key = "/".join(path)
        tensors[key] = tensor
        return {PLACEHOLDER: key, "shape": list(tensor.shape), "dtype": tensor.dtype}
    if isinstance(tree, Tensor):
        return tree.cpu()
    if isinstance(tree, Mapping):
        return {key: extract_tensors(value, (*path, str(key)), tensors) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(extract_tensors(value, (*path, str(i)), tensors) for i, value in enumerate(tree))
    return tree


def merged(first: object, other: object) -> object:
    """Return the trees of two ranks as one: the first, with missing branches from the other."""
    if first is None:
        return other
    if isinstance(first, Mapping) and isinstance(other, Mapping):
        return {key: merged(first.get(key), other.get(key)) for key in {**first, **other}}
    if isinstance(first, list) and isinstance(other, list):
        return [merged(a, b) for a, b in zip(first, other, strict=True)]
    return first


# -- reading -----------------------------------------------------------------------------------------------------------


def load_whole(folder: Path) -> State:
    """Return the state with whole tensors on the CPU, read by one process."""
    tensors: dict[str, Tensor] = {}

    def whole(place: Placeholder) -> Tensor:
        tensors[place.key] = torch.zeros(place.shape, dtype=place.dtype)
        return tensors[place.key]

    tree = map_leaves(load_tree(folder), whole, Placeholder)
    read_tensors(folder, tensors)
    return tree


def load_tree(folder: Path) -> State:
    """Return the tree with Placeholders for its tensors; code in the file is not executed."""
    return with_placeholders(torch.load(folder / REST, map_location="cpu", weights_only=True))


def with_placeholders(tree: object) -> Any:
    """Return the tree of rest.pt with Placeholder objects."""
    if isinstance(tree, Mapping):
        if PLACEHOLDER in tree:
            return Placeholder(tree[PLACEHOLDER], tuple(tree["shape"]), tree["dtype"])
        return {key: with_placeholders(value) for key, value in tree.items()}
    return type(tree)(map(with_placeholders, tree)) if isinstance(tree, (list, tuple)) else tree


def load_local(folder: Path, players: Mapping[str, tuple[Partition, Optimizer]]) -> State:
    """Return the state of a Trainer with this rank's part of every sharded tensor. Each rank reads separately."""
    tree = load_tree(folder)["trainer"]
    tensors: dict[str, Tensor] = {}
    for name, (partition, optimizer) in players.items():
        load_player(tree["players"][name], partition, optimizer, tensors)
    read_tensors(folder, tensors)
    return tree


def load_player(player: State, partition: Partition, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Replace the placeholders of a player by this rank's empty tensors, and put those to read into `tensors`."""

    def shard(place: Placeholder) -> Tensor:
        tensors[place.key] = zeros(place.shape, dtype=place.dtype, device_mesh=partition.mesh, placements=[Shard(0)])
        return tensors[place.key]

    def owned(place: Placeholder) -> Tensor:
        tensors[place.key] = torch.zeros(place.shape, dtype=place.dtype, device=partition.device)
        return tensors[place.key]

    def not_owned(place: Placeholder) -> Tensor:
        return torch.zeros((0, *place.shape[1:]), dtype=place.dtype, device=partition.device)

    def local_branch(branch: object, i: int) -> object:
        if partition.layout == ELEMENTS:
            return map_leaves(branch, shard, Placeholder)
        return map_leaves(branch, owned if len(partition.trained[i]) else not_owned, Placeholder)

    player["module"] = map_leaves(player["module"], shard, Placeholder)
    player["optimizer"] = map_branches(player["optimizer"], parameter_numbers(partition, optimizer), local_branch)


def read_tensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Read the folder's tensors into those given, by key."""
    with plain_errors():
        load(tensors, storage_reader=CodeFreeReader(folder), no_dist=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise the error of a rank itself, where torch raises one that is no Exception; suppress its warning that a rank
    reads separately."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        try:
            yield
        except CheckpointException as error:
            raise next(iter(error.failures.values()))[0] from None
