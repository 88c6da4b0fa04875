"""Training of a sharded network (FSDP2) with optimizers that know nothing of shards.

`fully_shard` gathers a block's parameters for its forward and backward pass, and leaves each rank its rows of the
gradient. The optimizer gets plain tensors instead of shards, in one of two layouts:

    "elements"  each rank trains its own rows of every parameter: for rules that treat each element separately.
    "tensors"   each parameter has an owner, which trains the whole tensor: for rules that need whole tensors, e.g. for
                norms, factors or eigenvectors. Gradients go to the owners and new values come back, in one exchange
                each. The work is shared, and state is stored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from optbench.clipping import tensor_norms
from optbench.config import Choice, RunConfig
from optbench.contracts import Problem
from optbench.distributed.communicator import TorchCommunicator
from optbench.distributed.layouts import TENSORS, layout_of
from optbench.distributed.partition import partition_of, shard_module, to_local
from optbench.distributed.state import load_module, local_state, sharded_state
from optbench.models.roles import problem_of
from optbench.optimizers.core.interface import Optimizer
from optbench.training.plan import State


def shard_parameters(
    module: nn.Module, comm: TorchCommunicator | None, config: RunConfig, optimizer: Choice
) -> FsdpShards | None:
    """Shard the network if the run uses strategy=fsdp, else return None."""
    if comm is None or not comm.sharded:
        return None
    return FsdpShards(module, comm, layout_of(config, optimizer))


class FsdpShards:
    """The sharded parameters of one network: implements `training.parallel.Shards`.

    `problem` is the network's problem with the tensors that this rank's optimizer trains."""

    def __init__(self, module: nn.Module, comm: TorchCommunicator, layout: str) -> None:
        self.comm = comm
        whole = problem_of(module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        group = dist.group.WORLD
        assert group is not None
        shard_module(module, DeviceMesh.from_group(group, comm.device.type))
        self.modules = [part for part in module.modules() if isinstance(part, FSDPModule)]
        by_name = dict(module.named_parameters())
        shards = [as_dtensor(by_name[names[id(p.tensor)]]) for p in whole.parameters]
        self.partition = partition_of(shards, layout, comm.rank, comm.world_size, comm.device)
        pairs = zip(whole.parameters, self.partition.trained, strict=True)
        self.problem = Problem(tuple(replace(parameter, tensor=tensor) for parameter, tensor in pairs))
        self._sync_from_module()

    # -- around a step -----------------------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Set every gradient to None."""
        for tensor in (*self.partition.shards, *self.partition.trained):
            tensor.grad = None

    def collect_gradients(self, count: Tensor | int) -> None:
        """Give the trained tensors their gradients: sums over all ranks, divided by `count`.

        FSDP2 leaves means over ranks."""
        shards, trained = self.partition.shards, self.partition.trained
        found = {i: as_dtensor(shard.grad) for i, shard in enumerate(shards) if shard.grad is not None}
        gradients = {i: to_local(gradient).mul_(self.comm.world_size) for i, gradient in found.items()}
        if self.partition.layout == TENSORS:
            present = list(gradients)
            gradients = dict(zip(present, self._to_owners(present, list(gradients.values())), strict=True))
        for i, gradient in gradients.items():
            trained[i].grad = gradient.div_(count)
        for shard in shards:
            shard.grad = None

    def drop_empty_gradients(self) -> None:
        """Set the gradient of tensors without rows to None, because optimizers may fail on them."""
        for tensor in self.partition.trained:
            if not len(tensor):
                tensor.grad = None

    @torch.no_grad()
    def sync_to_module(self) -> None:
        """Copy updated values from the trained tensors into the module."""
        for module in self.modules:
            module.reshard()  # a forward pass without a backward pass leaves old gathered parameters
        if self.partition.layout == TENSORS:
            everything = range(len(self.partition.shards))
            updated = self._to_shards(everything, [tensor.detach() for tensor in self.partition.trained])
            for shard, rows in zip(self.partition.shards, updated, strict=True):
                to_local(shard).copy_(rows)

    @torch.no_grad()
    def _sync_from_module(self) -> None:
        """Copy values from the module into the trained tensors."""
        if self.partition.layout == TENSORS:
            everything = range(len(self.partition.shards))
            whole = self._to_owners(everything, [to_local(shard) for shard in self.partition.shards])
            for tensor, values in zip(self.partition.trained, whole, strict=True):
                tensor.copy_(values)

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the L2 norms of whole tensors, given this rank's rows of each; shape (len(tensors),)."""
        squares = tensor_norms(tensors).double().square()
        self.comm.all_reduce([squares])
        return squares.sqrt().float()

    def total_norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the L2 norm of all tensors together, a scalar."""
        return torch.linalg.vector_norm(self.norms(tensors))

    def any_rank(self, flag: Tensor) -> Tensor:
        """Return True if the flag is true on any rank."""
        return self.comm.sum_scalars(flag)[0] > 0

    # -- state -------------------------------------------------------------------------------------------------------

    def optimizer_state(self, optimizer: Optimizer) -> object:
        """Return the optimizer's state for a sharded checkpoint."""
        return sharded_state(self.partition, optimizer)

    def load_state(self, module: nn.Module, optimizer: Optimizer, state: State) -> None:
        """Load the "module" and "optimizer" of a checkpoint, given as whole tensors or as this rank's shards."""
        load_module(self.partition, module, state["module"])
        self._sync_from_module()
        optimizer.load_state_dict(local_state(self.partition, optimizer, state["optimizer"]))

    # -- exchange ----------------------------------------------------------------------------------------------------

    def _to_owners(self, which: Sequence[int], rows: Sequence[Tensor]) -> list[Tensor]:
        """Return whole tensors on their owner, joined from the rows of all ranks; no rows on other ranks."""
        me, owners = self.comm.rank, self.partition.owners
        ranks = range(self.comm.world_size)
        sent = [[r for i, r in zip(which, rows, strict=True) if owners[i] == rank] for rank in ranks]
        own = [i for i in which if owners[i] == me]
        shapes = [[self._shape(i, self.partition.rows[i][rank]) for i in own] for rank in ranks]
        received = self._exchange(sent, shapes)
        joined = {i: torch.cat(parts) for i, parts in zip(own, zip(*received, strict=True), strict=True)}
        return [joined.get(i, r[:0]) for i, r in zip(which, rows, strict=True)]

    def _to_shards(self, which: Sequence[int], tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return this rank's rows of each parameter, from the owners' whole tensors."""
        me, owners = self.comm.rank, self.partition.owners
        ranks = range(self.comm.world_size)
        own = [(i, tensor) for i, tensor in zip(which, tensors, strict=True) if owners[i] == me]
        cut = [tensor.split(self.partition.rows[i]) for i, tensor in own]
        by_owner = [[i for i in which if owners[i] == rank] for rank in ranks]
        sent = [[parts[rank] for parts in cut] for rank in ranks]
        shapes = [[self._shape(i, self.partition.rows[i][me]) for i in some] for some in by_owner]
        received = self._exchange(sent, shapes)
        found: dict[int, Tensor] = {}
        for some, parts in zip(by_owner, received, strict=True):
            found.update(zip(some, parts, strict=True))
        return [found[i] for i in which]

    def _shape(self, i: int, rows: int) -> tuple[int, ...]:
        return (rows, *self.partition.shards[i].shape[1:])

    def _exchange(
        self, sent: Sequence[Sequence[Tensor]], shapes: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[list[Tensor]]:
        """Send `sent[rank]` to each rank and return what each rank sent here, of shapes `shapes[rank]`; one dtype."""
        empty = torch.zeros(0, dtype=self.partition.shards[0].dtype, device=self.comm.device)
        flat = [torch.cat([t.reshape(-1) for t in some]) if some else empty for some in sent]
        sizes = [[torch.Size(shape).numel() for shape in some] for some in shapes]
        received = self.comm.all_to_all(flat, [sum(some) for some in sizes])
        return [
            [piece.view(shape) for piece, shape in zip(part.split(counts), some, strict=True)]
            for part, counts, some in zip(received, sizes, shapes, strict=True)
        ]


def as_dtensor(tensor: Tensor) -> DTensor:
    """Return a tensor of FSDP2 with its type."""
    assert isinstance(tensor, DTensor)
    return tensor
