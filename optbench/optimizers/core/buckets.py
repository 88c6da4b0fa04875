"""Parameters of equal shape, updated together by a rule marked `bucketed`.

A rule of matrices is many operations, each of which costs a launch on CUDA however small the matrix is. So parameters
that share the rule, its hyperparameters, shape, dtypes and device form a bucket, and the rule is called once for it: it
gets a list of tensors in place of each tensor. It treats them with `foreach` and, for its linear algebra, as one tensor
of stacked matrices. A single parameter is a bucket of one: the same code.

Unequal shapes are not padded. A bucket costs some 40 launches (0.2 ms), but a matrix of 768 x 768 padded to 2304 x 768
costs three times its arithmetic, and a network has few shapes: ViT-B's 48 matrices have four, ResNet-18's 20 have 11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optbench.optimizers.core import foreach
from optbench.optimizers.core.rule import Hyperparameters, Rule

# The most elements of a bucket; a larger tensor is a bucket of its own. CPU (measured): stacked products of bf16 are 2
# to 4 times as fast for 64 x 576 and 1.1 times for 512 x 4608; from 1 Mi elements (2 MB in bf16) on, they leave the
# cache between two operations. CUDA (estimated): a product with 16 Mi elements takes as long as eight launches; more
# would only take memory.
BUCKET_AT_MOST = {"cpu": 1 << 20, "cuda": 1 << 24}


class Call(NamedTuple):
    """A rule with its arguments for one parameter: theta, its gradient and state; values of its own; the
    hyperparameters."""

    rule: Rule
    tensors: list[Tensor]
    numbers: Hyperparameters
    own: tuple[Any, ...] = ()

    @property
    def kind(self) -> tuple[Any, ...]:
        """The rule, hyperparameters, shape, device and dtypes that the parameters of a bucket share."""
        theta = self.tensors[0]
        return self.rule, self.numbers, theta.shape, theta.device, *(tensor.dtype for tensor in self.tensors)


def run_buckets(calls: Iterable[Call]) -> None:
    """Run bucketed rules, once for each bucket."""
    for bucket in buckets(calls):
        columns = [list(column) for column in zip(*((*call.tensors, *call.own) for call in bucket), strict=True)]
        bucket[0].rule(*columns, *bucket[0].numbers)


def buckets(calls: Iterable[Call]) -> Iterator[list[Call]]:
    """Yield the calls in buckets, each in the order of the parameters."""
    kinds: dict[tuple[Any, ...], list[Call]] = {}
    for call in calls:
        kinds.setdefault(call.kind, []).append(call)
    for same in kinds.values():
        theta = same[0].tensors[0]
        count = max(1, BUCKET_AT_MOST.get(theta.device.type, 0) // theta.numel())
        yield from (same[start : start + count] for start in range(0, len(same), count))


def stack(tensors: Sequence[Tensor], dtype: torch.dtype | None = None) -> Tensor:
    """Return tensors of one shape as one tensor (k, *shape), in another dtype if one is given.

    It is to be read only: a single tensor is not copied unless its dtype changes."""
    if len(tensors) == 1:
        return tensors[0][None].to(dtype or tensors[0].dtype)
    stacked = tensors[0].new_empty((len(tensors), *tensors[0].shape), dtype=dtype)
    foreach.copy_(list(stacked.unbind()), list(tensors))
    return stacked


def stacked_matrices(tensors: Sequence[Tensor], dtype: torch.dtype | None = None) -> Tensor:
    """Return tensors of one shape, flattened to matrices, as one tensor (k, m, n); see `stack`."""
    return stack(tensors, dtype).flatten(2)


def rows_like(stacked: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return stacked results as a list of views in the shapes and dtypes of `tensors`."""
    rows = stacked.to(tensors[0].dtype).unbind()
    return [row.reshape(tensor.shape) for row, tensor in zip(rows, tensors, strict=True)]
