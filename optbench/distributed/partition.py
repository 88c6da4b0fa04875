"""The split of a network's parameters over ranks (FSDP2), and the plain tensors that its optimizer trains."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from optbench.distributed.layouts import ELEMENTS


@dataclass(frozen=True)
class Partition:
    """The sharded parameters of one network, seen from one rank. Lists are in the order of the network's problem."""

    layout: str
    rank: int
    device: torch.device
    shards: list[DTensor]
    """The parameters; each rank has some rows of each."""
    rows: list[list[int]]
    """Rows of each parameter on each rank."""
    owners: list[int]
    """The rank that trains each whole tensor, in the layout "tensors"."""
    trained: list[nn.Parameter]
    """The tensors that this rank's optimizer trains; without rows if another rank trains the parameter."""

    @property
    def mesh(self) -> DeviceMesh:
        """The mesh of all ranks."""
        return self.shards[0].device_mesh


def partition_of(shards: list[DTensor], layout: str, rank: int, world_size: int, device: torch.device) -> Partition:
    """Return the partition of sharded parameters in a layout; with "tensors", `trained` holds zeros at first."""
    rows = [rows_by_rank(len(shard), world_size) for shard in shards]
    owners = assign_owners([estimate_work(shard.shape) for shard in shards], world_size)

    def trained(shard: DTensor, owner: int) -> nn.Parameter:
        if layout == ELEMENTS:
            return nn.Parameter(to_local(shard))  # the same memory
        owned = len(shard) if owner == rank else 0
        return nn.Parameter(torch.zeros((owned, *shard.shape[1:]), dtype=shard.dtype, device=shard.device))

    tensors = [trained(shard, owner) for shard, owner in zip(shards, owners, strict=True)]
    return Partition(layout, rank, device, shards, rows, owners, tensors)


def to_local(tensor: DTensor) -> Tensor:
    """Return this rank's rows of a sharded tensor, in the same memory."""
    own = tensor.detach()
    assert isinstance(own, DTensor)
    return own.to_local()


def shard_module(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a network's parameters by rows: each block separately, and the other parameters together."""
    # torch warns about every network that returns a view; that matters only if the view is modified in place
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for block in blocks(module):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the members with parameters of the outermost lists of modules."""
    if isinstance(module, (nn.ModuleList, nn.Sequential)):
        for member in module:
            if isinstance(member, nn.ModuleList):  # it has no forward pass of its own
                yield from blocks(member)
            elif any(True for _ in member.parameters()):
                yield member
        return
    for child in module.children():
        yield from blocks(child)


def rows_by_rank(rows: int, count: int) -> list[int]:
    """Return the rows on each rank, as torch.chunk splits them: the last ranks may have fewer, or none."""
    each = -(-rows // count)
    return [max(0, min(each, rows - rank * each)) for rank in range(count)]


def estimate_work(shape: Sequence[int]) -> int:
    """Return the approximate work of a rule on a whole tensor: m n (m + n) for m rows and n columns.

    That is the cost of a matrix's products with its two factors; further dimensions count as columns."""
    rows, columns = shape[0], math.prod(shape[1:])
    return rows * columns * (rows + columns)


def assign_owners(work: Sequence[int], count: int) -> list[int]:
    """Return the owner of each tensor: in order of decreasing work, the rank with the least work so far."""
    load, owners = [0] * count, [0] * len(work)
    for i in sorted(range(len(work)), key=lambda i: (-work[i], i)):
        owners[i] = load.index(min(load))
        load[owners[i]] += work[i]
    return owners
