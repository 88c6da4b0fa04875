"""Curvature of the current batch, for second-order optimizers inside a step.

Every call evaluates the batch again (in micro-batches if set) with frozen batch statistics. It counts as gradient
evaluations: one for gradients at sampled targets, two for a Hessian-vector product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from optbench.contracts import Batch, SumCount, Turn
from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import frozen_statistics
from optbench.training.clock import BACKWARD, FORWARD, OPTIMIZER, Clock
from optbench.training.parallel import Communicator


class BatchCurvature:
    """The Curvature of a network on the batch of its `turn`."""

    def __init__(
        self,
        module: nn.Module,
        clock: Clock,
        autocast: AbstractContextManager[object],
        micro_batch: int | None,
        comm: Communicator | None = None,
    ) -> None:
        self.module, self.clock, self.autocast, self.micro_batch = module, clock, autocast, micro_batch
        self.comm = comm
        self.turn: Turn | None = None
        self.evaluations = 0

    def sampled_gradients(self, thetas: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | int]:
        """Return gradients of the mean loss at targets sampled from the model, and the number of terms in the mean."""
        turn = self._current_turn()
        if turn.sampled_loss is None:
            raise ConfigError(
                "the optimizer needs targets sampled from the model, but this task's model defines no distribution",
                "Use an optimizer that does not need them, e.g. optimizer=adamw",
            )
        self.evaluations += 1
        return self._mean(turn.sampled_loss, thetas, lambda loss: gradients(loss, thetas, False))

    def hessian_products(self, thetas: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Return Hessian-vector products of the mean loss.

        Attention uses its plain form, because fused kernels have no second derivative."""

        def product(loss: Tensor) -> list[Tensor]:
            first = gradients(loss, thetas, True)
            along = torch.stack([(g * v).sum() for g, v in zip(first, vectors, strict=True)]).sum()
            if not along.requires_grad:  # the loss is linear in all tensors, or depends on none
                return [torch.zeros_like(theta) for theta in thetas]
            return gradients(along, thetas, False)

        self.evaluations += 2
        with sdpa_kernel(SDPBackend.MATH):
            return self._mean(self._current_turn().loss, thetas, product)[0]

    def _current_turn(self) -> Turn:
        if self.turn is None:
            raise ConfigError("curvature is available only inside a training step")
        return self.turn

    def _mean(
        self, loss: Callable[[Batch], SumCount], thetas: Sequence[Tensor], of: Callable[[Tensor], list[Tensor]]
    ) -> tuple[list[Tensor], Tensor | int]:
        """Return the sums of `of(loss)` over the batch divided by the number of terms, and that number."""
        count: Tensor | int = 0
        sums = [torch.zeros_like(theta) for theta in thetas]
        rank_rng = self.comm.rank_rng() if self.comm is not None else nullcontext()
        with rank_rng, frozen_statistics(self.module), torch.enable_grad():
            for micro in self._micro_batches():
                self.clock.to(FORWARD)
                with self.autocast:
                    total, terms = loss(micro)
                self.clock.to(BACKWARD)
                for part, piece in zip(sums, of(total), strict=True):
                    part.add_(piece.detach())
                count = count + terms
        if self.comm is not None:
            self.comm.all_reduce(sums)
            count = self.comm.sum_scalars(count)[0]
        self.clock.to(OPTIMIZER)
        return [part.div_(count) for part in sums], count

    def _micro_batches(self) -> Iterator[Batch]:
        batch = self._current_turn().batch
        return iter([batch]) if self.micro_batch is None else micro_batches(batch, self.micro_batch)


def gradients(loss: Tensor, thetas: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    """Return gradients of a scalar; zeros for tensors on which it does not depend."""
    found = torch.autograd.grad(loss, thetas, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(theta) if g is None else g for theta, g in zip(thetas, found, strict=True)]


def split_evenly(batch: Batch, count: int) -> Iterator[Batch]:
    """Yield the batch in `count` pieces whose sizes differ by at most one."""
    pieces = {name: tensor.tensor_split(count) for name, tensor in batch.items()}
    for parts in zip(*pieces.values(), strict=True):
        yield dict(zip(pieces, parts, strict=True))


def micro_batches(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield the batch in as few pieces of at most `size` samples as possible; sizes differ by at most one.

    Five samples in pieces of four are three and two: four and one would leave batch norm a single sample."""
    return split_evenly(batch, max(1, -(-len(next(iter(batch.values()))) // size)))
