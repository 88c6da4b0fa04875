"""State of a sharded network and its optimizer: from shards to a checkpoint and back.

An optimizer's state is a tree. Some of its branches belong to one parameter: the values of a mapping by parameter
number (as torch's `state`), or the members of a list with one entry per parameter. In such a branch, tensors without
dimensions are equal on all ranks that have them; other tensors are split as the parameter's trained tensor is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard

from optbench.distributed.layouts import ELEMENTS
from optbench.distributed.partition import Partition, rows_by_rank, to_local
from optbench.optimizers.core.interface import Optimizer

ABSENT = object()
"""Stands for a branch that this rank does not have."""


@dataclass(frozen=True)
class OwnedTensor:
    """A whole tensor on the rank that owns its parameter."""

    tensor: Tensor


@dataclass(frozen=True)
class Placeholder:
    """Stands for a tensor that is stored in another file, under `key`."""

    key: str
    shape: tuple[int, ...]
    dtype: torch.dtype


# -- saving ------------------------------------------------------------------------------------------------------------


def sharded_state(partition: Partition, optimizer: Optimizer) -> object:
    """Return the optimizer's state with DTensors or OwnedTensors, and None for branches on other ranks."""

    def shard_branch(branch: object, i: int) -> object:
        if not len(partition.trained[i]):
            return None
        return map_leaves(branch, lambda tensor: as_shard(partition, tensor, i) if tensor.ndim else tensor, Tensor)

    return map_branches(optimizer.state_dict(), parameter_numbers(partition, optimizer), shard_branch)


def as_shard(partition: Partition, tensor: Tensor, i: int) -> DTensor | OwnedTensor:
    """Return a state tensor of parameter i as a shard of the whole one, or as owned."""
    if partition.layout != ELEMENTS:
        return OwnedTensor(tensor)
    shard = partition.shards[i]
    expected = tuple(to_local(shard).shape)
    if tensor.shape != expected:
        raise RuntimeError(f"optimizer state has shape {tuple(tensor.shape)}, its parameter's rows have {expected}")
    return DTensor.from_local(
        tensor.contiguous(), shard.device_mesh, [Shard(0)], shape=shard.shape, stride=shard.stride(), run_check=False
    )


# -- loading -----------------------------------------------------------------------------------------------------------


def local_state(partition: Partition, optimizer: Optimizer, tree: object) -> Any:
    """Return the part of an optimizer's state that belongs to this rank; `tree` has whole tensors or DTensors."""

    def local_branch(branch: object, i: int) -> object:
        if isinstance(branch, Tensor):  # in a list, which keeps its length
            return local_tensor(partition, branch, i)
        if not len(partition.trained[i]):
            return ABSENT
        return map_leaves(branch, lambda tensor: local_tensor(partition, tensor, i), Tensor)

    return map_branches(tree, parameter_numbers(partition, optimizer), local_branch)


def local_tensor(partition: Partition, tensor: Tensor, i: int) -> Tensor:
    """Return this rank's part of a state tensor of parameter i."""
    if isinstance(tensor, DTensor):
        return to_local(tensor)
    if not tensor.ndim:
        return tensor
    if partition.layout == ELEMENTS:
        return local_rows(partition, tensor, i)
    return tensor if len(partition.trained[i]) else tensor[:0]


def local_rows(partition: Partition, whole: Tensor, i: int) -> Tensor:
    """Return this rank's rows of a tensor with the shape of parameter i."""
    return whole.split(partition.rows[i])[partition.rank]


@torch.no_grad()
def load_module(partition: Partition, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights and buffers, given as whole tensors or DTensors, into a sharded network."""
    named = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
    for name, tensor in state.items():
        own = named[name]
        if not isinstance(own, DTensor):
            own.copy_(tensor)
        elif isinstance(tensor, DTensor):
            to_local(own).copy_(to_local(tensor))
        else:
            rows = rows_by_rank(len(own), own.device_mesh.size())  # frozen parameters are not in the partition
            to_local(own).copy_(tensor.split(rows)[partition.rank])


# -- trees -------------------------------------------------------------------------------------------------------------


def parameter_numbers(partition: Partition, optimizer: Optimizer) -> list[int]:
    """Return the number in the network of each of the optimizer's parameters, in the optimizer's order."""
    by_id = {id(tensor): i for i, tensor in enumerate(partition.trained)}
    return [by_id[id(p)] for group in optimizer.param_groups for p in group["params"]]


def map_branches(tree: object, numbers: Sequence[int], function: Callable[[object, int], object]) -> Any:
    """Return the tree with `function(branch, parameter)` for every branch of a parameter, without ABSENT ones.

    `numbers` are the parameters' numbers in the order of the tree."""
    if isinstance(tree, Mapping):
        if tree and all(isinstance(key, int) for key in tree):
            found = {key: function(branch, numbers[key]) for key, branch in tree.items()}
            return {key: branch for key, branch in found.items() if branch is not ABSENT}
        return {key: map_branches(branch, numbers, function) for key, branch in tree.items()}
    if isinstance(tree, list):
        if len(tree) == len(numbers) and all(isinstance(member, (Tensor, Placeholder)) for member in tree):
            return [function(member, number) for member, number in zip(tree, numbers, strict=True)]
        return [map_branches(member, numbers, function) for member in tree]
    return tree


def map_leaves(tree: object, function: Callable[[Any], object], leaf: type) -> Any:
    """Return the tree, in new containers, with `function(x)` for every x of type `leaf`."""
    if isinstance(tree, leaf):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_leaves(value, function, leaf) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_leaves(value, function, leaf) for value in tree)
    return tree
