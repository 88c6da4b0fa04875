"""Protocols for training on several ranks; optbench/distributed implements them. Types only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optbench.contracts import Batch, Evaluation
    from optbench.optimizers.core.interface import Optimizer
    from optbench.training.plan import State

Picklable = TypeVar("Picklable")


class Communicator(Protocol):
    """The ranks (processes) of one run, seen from one of them.

    All ranks call the collective methods in the same order."""

    rank: int
    """Number of this process; rank 0 writes the results."""
    world_size: int
    """Number of ranks."""

    def local_batch(self, batch: Batch) -> Batch:
        """Return this rank's samples of a global batch."""
        ...

    def begin_step(self, step: int) -> None:
        """Set the step that seeds `rank_rng`."""

    def begin_turn(self) -> None:
        """Count a turn of the step; it seeds `rank_rng` too."""

    def rank_rng(self) -> AbstractContextManager[None]:
        """Seed torch differently on every rank inside a block, and restore the common random state after it."""
        ...

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors over ranks, in place."""

    def sum_scalars(self, *values: Tensor | float) -> list[Tensor]:
        """Return the sum over ranks of each value, as float64 scalars."""
        ...

    def max_over_ranks(self, *values: int) -> list[int]:
        """Return the maximum over ranks of each integer."""
        ...

    def broadcast(self, value: Picklable) -> Picklable:
        """Return rank 0's value on every rank."""
        ...

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Copy rank 0's values into the tensors of every rank."""

    def require_all(self) -> None:
        """Raise RankLost, or another rank's own error, if values of this rank come from an aborted collective."""

    def raise_if_lost(self, error: BaseException) -> None:
        """Raise RankLost, or another rank's own error, if `error` comes from a failed collective."""

    def map_over_ranks(self, work: Callable[[Batch], Evaluation], batches: Iterable[Batch]) -> list[Evaluation]:
        """Return `work(batch)` for each batch, in order, on every rank; each rank computes a part of them."""
        ...


class Shards(Protocol):
    """The parameters of a network that are split over ranks, seen from one of them.

    The optimizer trains plain tensors in their place."""

    def zero_grad(self) -> None:
        """Set every gradient to None."""

    def collect_gradients(self, count: Tensor | int) -> None:
        """Give the optimizer's tensors their gradients: sums over all ranks, divided by `count`."""

    def drop_empty_gradients(self) -> None:
        """Set the gradient of tensors without elements on this rank to None; call it before the optimizer's step."""

    def sync_to_module(self) -> None:
        """Copy updated values from the optimizer's tensors into the module."""

    def optimizer_state(self, optimizer: Optimizer) -> object:
        """Return the optimizer's state for a checkpoint."""
        ...

    def load_state(self, module: nn.Module, optimizer: Optimizer, state: State) -> None:
        """Load the "module" and "optimizer" of a checkpoint."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the L2 norms of whole tensors, given this rank's part of each; shape (len(tensors),)."""
        ...

    def total_norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the L2 norm of all tensors together, a scalar."""
        ...

    def any_rank(self, flag: Tensor) -> Tensor:
        """Return True if the flag is true on any rank."""
        ...
