"""A network whose parameters lie in parts on the ranks (FSDP2), and the plain tensors that its optimizer trains.

`fully_shard` gathers a block's parameters for its forward and backward pass, and leaves each rank the rows of the
gradient that it keeps. No optimizer ever sees such a part: it is given stand-ins, plain tensors, in one of two layouts.

    "elements"  the stand-in of a parameter is the rank's own rows of it: for rules that treat every element by itself.
    "tensors"   every parameter has one owner, whose stand-in is the whole tensor (that of the others has no rows): for
                rules that need whole tensors, as norms, factors and eigenvectors do. Gradients go to the owners and new
                values come back, by one exchange each; the work is shared, and state is held once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from optbench.clipping import tensor_norms
from optbench.config import Choice, RunConfig
from optbench.contracts import Problem
from optbench.distributed.communicator import Communicator
from optbench.distributed.layouts import ELEMENTS, TENSORS, layout_of
from optbench.distributed.state import described, load_module, local, own
from optbench.models.roles import problem_of


class FsdpShards:
    """The sharded parameters of one network, in the order of its problem; what `contracts.Shards` promises."""

    def __init__(self, module: nn.Module, comm: Communicator, layout: str) -> None:
        self.comm, self.layout = comm, layout
        whole = problem_of(module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        shard(module, DeviceMesh.from_group(dist.group.WORLD, comm.device.type))  # type: ignore[arg-type]
        self.gathering = [part for part in module.modules() if isinstance(part, FSDPModule)]
        by_name = dict(module.named_parameters())
        self.parts: list[DTensor] = [by_name[names[id(p.tensor)]] for p in whole.parameters]  # type: ignore[misc]
        self.rows = [rows_by_rank(len(part), comm.world_size) for part in self.parts]
        self.owners = owners_of([work_of(part.shape) for part in self.parts], comm.world_size)
        self.stand_ins = [self._stand_in(i) for i in range(len(self.parts))]
        pairs = zip(whole.parameters, self.stand_ins, strict=True)
        self.problem = Problem(tuple(replace(parameter, tensor=stand_in) for parameter, stand_in in pairs))
        if layout == TENSORS:
            self.sync_from_module()

    def _stand_in(self, i: int) -> nn.Parameter:
        part = self.parts[i]
        if self.layout == ELEMENTS:
            return nn.Parameter(local(part))  # the same memory
        return nn.Parameter(torch.zeros((self._owned(i), *part.shape[1:]), dtype=part.dtype, device=part.device))

    def _owned(self, i: int) -> int:
        """Rows of the stand-in of parameter i where whole tensors are dealt out."""
        return len(self.parts[i]) if self.owners[i] == self.comm.rank else 0

    # -- around a step -----------------------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """No gradient any more."""
        for tensor in (*self.parts, *self.stand_ins):
            tensor.grad = None

    def collect_gradients(self, count: Tensor) -> None:
        """Give the stand-ins their gradients, of sums over all ranks, divided by `count`: FSDP2 leaves means over
        ranks."""
        present = [i for i, part in enumerate(self.parts) if part.grad is not None]
        gradients = {i: local(self.parts[i].grad).mul_(self.comm.world_size) for i in present}
        if self.layout == TENSORS:
            gradients = dict(zip(present, self._to_owners(present, list(gradients.values())), strict=True))
        for i, gradient in gradients.items():
            self.stand_ins[i].grad = gradient.div_(count)
        for part in self.parts:
            part.grad = None

    def drop_empty_gradients(self) -> None:
        """Take the gradient from stand-ins without rows: an optimizer may not know what to do with such."""
        for stand_in in self.stand_ins:
            if not len(stand_in):
                stand_in.grad = None

    @torch.no_grad()
    def sync_to_module(self) -> None:
        """What the stand-ins are now is what the network computes with."""
        for module in self.gathering:
            module.reshard()  # a forward pass without a backward one leaves parameters gathered, which are old now
        if self.layout == TENSORS:
            every = range(len(self.parts))
            for i, rows in zip(every, self._to_parts(every, [s.detach() for s in self.stand_ins]), strict=True):
                local(self.parts[i]).copy_(rows)

    @torch.no_grad()
    def sync_from_module(self) -> None:
        """Bring what the parts are now into the owners' tensors."""
        if self.layout == TENSORS:
            every = range(len(self.parts))
            for i, tensor in zip(every, self._to_owners(every, [local(p) for p in self.parts]), strict=True):
                self.stand_ins[i].copy_(tensor)

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """L2 norms, shape (len(tensors),), of tensors of which each rank has its rows, in the parameters' order."""
        squares = tensor_norms(tensors).double().square()
        self.comm.all_reduce([squares])
        return squares.sqrt().float()

    def total_norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """L2 norm of them together, a scalar."""
        return torch.linalg.vector_norm(self.norms(tensors))

    def any_rank(self, flag: Tensor) -> Tensor:
        """Whether a flag is true on any rank."""
        return self.comm.sum_scalars(flag)[0] > 0

    # -- state -------------------------------------------------------------------------------------------------------

    def optimizer_state(self, optimizer: Any) -> Any:
        """The optimizer's state for a checkpoint, as parts of a whole."""
        return described(self, optimizer)

    def load_state(self, module: nn.Module, optimizer: Any, state: Mapping[str, Any]) -> None:
        """Give the network and its optimizer the state of a checkpoint, in whole tensors or in this rank's parts."""
        load_module(self, module, state["module"])
        optimizer.load_state_dict(own(self, optimizer, state["optimizer"]))

    # -- exchange ----------------------------------------------------------------------------------------------------

    def _to_owners(self, which: Sequence[int], rows: Sequence[Tensor]) -> list[Tensor]:
        """Each parameter's rows from all ranks, joined at its owner; no rows elsewhere."""
        me, count = self.comm.rank, self.comm.world_size
        sent = [[r for i, r in zip(which, rows, strict=True) if self.owners[i] == rank] for rank in range(count)]
        own = [i for i in which if self.owners[i] == me]
        came = self._exchanged(sent, [[self._shape(i, self.rows[i][rank]) for i in own] for rank in range(count)])
        joined = {i: torch.cat(parts) for i, parts in zip(own, zip(*came, strict=True), strict=True)}
        return [joined.get(i, r[:0]) for i, r in zip(which, rows, strict=True)]

    def _to_parts(self, which: Sequence[int], tensors: Sequence[Tensor]) -> list[Tensor]:
        """The rows that this rank keeps of each parameter, from its owner's tensor."""
        me, count = self.comm.rank, self.comm.world_size
        own = [(i, tensor) for i, tensor in zip(which, tensors, strict=True) if self.owners[i] == me]
        cut = [tensor.split(self.rows[i]) for i, tensor in own]
        of = [[i for i in which if self.owners[i] == rank] for rank in range(count)]
        sent = [[parts[rank] for parts in cut] for rank in range(count)]
        came = self._exchanged(sent, [[self._shape(i, self.rows[i][me]) for i in some] for some in of])
        found = {i: part for some, parts in zip(of, came, strict=True) for i, part in zip(some, parts, strict=True)}
        return [found[i] for i in which]

    def _shape(self, i: int, rows: int) -> tuple[int, ...]:
        return (rows, *self.parts[i].shape[1:])

    def _exchanged(
        self, sent: Sequence[Sequence[Tensor]], shapes: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[list[Tensor]]:
        """What every rank sends this one, of the given shapes by rank; `sent` is by rank too. One type of numbers."""
        flat = [torch.cat([t.reshape(-1) for t in some]) if some else self._nothing() for some in sent]
        sizes = [sum(torch.Size(shape).numel() for shape in some) for some in shapes]
        came = self.comm.all_to_all(flat, sizes)
        return [
            [
                piece.view(shape)
                for piece, shape in zip(part.split([torch.Size(s).numel() for s in some]), some, strict=True)
            ]
            for part, some in zip(came, shapes, strict=True)
        ]

    def _nothing(self) -> Tensor:
        return torch.zeros(0, dtype=self.parts[0].dtype, device=self.comm.device)


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Cut a network's parameters into rows on the ranks: every block by itself, and what is left together."""
    # torch warns of every network that returns a view, which changes nothing unless somebody writes to it
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for block in blocks(module):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The members of the outermost lists of modules that have parameters."""
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
    """How many rows each rank keeps, as torch.chunk deals them: the last ranks may have fewer, or none."""
    each = -(-rows // count)
    return [max(0, min(each, rows - rank * each)) for rank in range(count)]


def work_of(shape: Sequence[int]) -> int:
    """What a rule of whole tensors takes, about: m n (m + n) for a matrix of m rows and n columns, as its products with
    its factors do; further dimensions count as columns."""
    rows, columns = shape[0], math.prod(shape[1:])
    return rows * columns * (rows + columns)


def owners_of(sizes: Sequence[int], count: int) -> list[int]:
    """Who owns each tensor: the largest first, each to the rank that has the least so far."""
    held, owners = [0] * count, [0] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        owners[i] = held.index(min(held))
        held[owners[i]] += sizes[i]
    return owners


def shard_parameters(
    module: nn.Module, comm: Communicator | None, config: RunConfig, optimizer: Choice
) -> FsdpShards | None:
    """The network cut into parts, where a run asks for it."""
    if comm is None or not comm.sharded:
        return None
    return FsdpShards(module, comm, layout_of(config, optimizer))
