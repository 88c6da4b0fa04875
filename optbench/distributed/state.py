"""The state of a sharded network and its optimizer: as a whole in a checkpoint, in parts on the ranks.

An optimizer's state is a tree in which some branches belong to one parameter each: the values of a mapping by its
number, as torch's `state` is, or the members of a list that is as long as there are parameters. In such a branch a
tensor of no dimension is the same on every rank that has it; any other one lies as the parameter's stand-in does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from optbench.distributed.layouts import ELEMENTS

if TYPE_CHECKING:
    from optbench.distributed.sharding import FsdpShards

ABSENT = object()  # in place of a branch that this rank does not have


@dataclass(frozen=True)
class Owned:
    """A whole tensor of the rank that owns its parameter."""

    tensor: Tensor


def described(shards: FsdpShards, optimizer: Any) -> Any:
    """The optimizer's state with its tensors as parts of whole ones (DTensor) or Owned, and None for a branch that
    another rank has."""
    numbers = numbers_of(shards, optimizer)
    return branched(optimizer.state_dict(), numbers, lambda branch, i: whole_of(shards, branch, i))


def whole_of(shards: FsdpShards, branch: Any, i: int) -> Any:
    """The branch of parameter i."""
    if not len(shards.stand_ins[i]):
        return None
    return mapped(branch, lambda tensor: part_of(shards, tensor, i) if tensor.ndim else tensor)


def part_of(shards: FsdpShards, tensor: Tensor, i: int) -> DTensor | Owned:
    """A tensor of the branch of parameter i as what it is of a whole."""
    if shards.layout != ELEMENTS:
        return Owned(tensor)
    part = shards.parts[i]
    if tensor.shape != local(part).shape:
        raise RuntimeError(f"a state of shape {tuple(tensor.shape)} is none of elements: {tuple(local(part).shape)}")
    return DTensor.from_local(
        tensor.contiguous(), part.device_mesh, [Shard(0)], shape=part.shape, stride=part.stride(), run_check=False
    )


def own(shards: FsdpShards, optimizer: Any, tree: Any) -> Any:
    """What this rank's optimizer has of a state whose tensors are whole ones or parts (DTensor)."""
    numbers = numbers_of(shards, optimizer)
    return branched(tree, numbers, lambda branch, i: branch_here(shards, branch, i))


def branch_here(shards: FsdpShards, branch: Any, i: int) -> Any:
    """This rank's branch of parameter i."""
    stand_in = shards.stand_ins[i]
    if isinstance(branch, Tensor):  # a member of a list, which stays as long as it is
        return tensor_here(shards, branch, i)
    return mapped(branch, lambda tensor: tensor_here(shards, tensor, i)) if len(stand_in) else ABSENT


def tensor_here(shards: FsdpShards, tensor: Tensor, i: int) -> Tensor:
    """What this rank has of a tensor of the branch of parameter i."""
    if isinstance(tensor, DTensor):
        return local(tensor)
    if not tensor.ndim:
        return tensor
    if shards.layout == ELEMENTS:
        return rows_of(shards, tensor, i)
    return tensor if len(shards.stand_ins[i]) else tensor[:0]


def rows_of(shards: FsdpShards, whole: Tensor, i: int) -> Tensor:
    """This rank's rows of a tensor that is shaped as parameter i."""
    return whole.split(shards.rows[i])[shards.comm.rank]


@torch.no_grad()
def load_module(shards: FsdpShards, module: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a sharded network the weights and buffers of a state whose tensors are whole ones or parts."""
    numbers = {id(part): i for i, part in enumerate(shards.parts)}
    named = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
    for name, tensor in state.items():
        mine = named[name]
        if not isinstance(mine, DTensor):
            mine.copy_(tensor)
        else:
            local(mine).copy_(
                local(tensor) if isinstance(tensor, DTensor) else rows_of(shards, tensor, numbers[id(mine)])
            )
    shards.sync_from_module()


def local(tensor: Any) -> Tensor:
    """This rank's rows of a sharded tensor, in its own memory."""
    return tensor.detach().to_local()


# -- trees -------------------------------------------------------------------------------------------------------------


def numbers_of(shards: FsdpShards, optimizer: Any) -> list[int]:
    """Of the optimizer's parameters in its own order, their numbers in the network's."""
    by_id = {id(stand_in): i for i, stand_in in enumerate(shards.stand_ins)}
    return [by_id[id(p)] for group in optimizer.param_groups for p in group["params"]]


def branched(tree: Any, numbers: Sequence[int], of: Callable[[Any, int], Any]) -> Any:
    """A tree with `of(branch, parameter)` in place of every branch that belongs to a parameter; `numbers` are the
    parameters' numbers in the order of the tree."""
    if isinstance(tree, Mapping):
        if tree and all(isinstance(key, int) for key in tree):
            found = {key: of(branch, numbers[key]) for key, branch in tree.items()}
            return {key: branch for key, branch in found.items() if branch is not ABSENT}
        return {key: branched(branch, numbers, of) for key, branch in tree.items()}
    if isinstance(tree, list):
        if len(tree) == len(numbers) and all(isinstance(member, Tensor) for member in tree):
            return [of(member, number) for member, number in zip(tree, numbers, strict=True)]
        return [branched(member, numbers, of) for member in tree]
    return tree


def mapped(tree: Any, function: Callable[[Any], Any], leaf: tuple[type, ...] = (Tensor,)) -> Any:
    """A tree with `function` of its leaves of some types, in new containers."""
    if isinstance(tree, leaf):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(value, function, leaf) for key, value in tree.items()}
    return type(tree)(mapped(value, function, leaf) for value in tree) if isinstance(tree, (list, tuple)) else tree
