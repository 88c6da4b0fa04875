"""What a clip is, what it reports of a gradient, and the norms that clips share.

A clip changes gradients in place and reports tensors on their device; it reads no value of a tensor, so nothing waits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from optbench.contracts import Problem


@dataclass(frozen=True)
class Clipped:
    """What a clip saw and did, as scalar tensors; all None where it did not look."""

    norm: Tensor | None = None
    """Global L2 norm of the gradient before clipping."""
    clipped: Tensor | None = None
    """True where anything was clipped: one element, unit or tensor is enough."""
    scale: Tensor | None = None
    """Global L2 norm after clipping over that before; 1 where untouched."""


class Clip:
    """A clip for the parameters of one problem; a subclass writes `apply`, and its state if it has one. Norms of whole
    tensors are asked of `across`, for a rank may hold rows of them alone."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.across: Across = Whole()

    @torch.no_grad()
    def __call__(self, parameters: Sequence[Tensor], advance: bool = True) -> Clipped:
        """Clip the gradients of `parameters`. Running statistics move on only where `advance` is true: once a step,
        by the gradient at the weights that the step began with. Later evaluations of the same step (SAM, line search)
        are clipped by the statistics as they then stand."""
        present = [parameter for parameter in parameters if parameter.grad is not None]
        return self.apply(present, advance) if present else Clipped()

    def apply(self, present: Sequence[Tensor], advance: bool) -> Clipped:
        """The rule, for one or more parameters that all have a gradient."""
        raise TypeError(f"{type(self).__name__} does not say how it clips")

    def state_dict(self) -> dict[str, Any]:
        """Running statistics for a checkpoint, tensors by name; empty where there are none."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""


class Across(Protocol):
    """What is to be known of tensors that may lie on several ranks."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """L2 norm of each tensor, shape (len(tensors),)."""

    def any_rank(self, flag: Tensor) -> Tensor:
        """Whether a flag is true on any rank."""


class Whole:
    """Tensors that are here as a whole."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """L2 norm of each tensor, shape (len(tensors),)."""
        return tensor_norms(tensors)

    def any_rank(self, flag: Tensor) -> Tensor:
        """The flag."""
        return flag


def tensor_norms(tensors: Sequence[Tensor]) -> Tensor:
    """L2 norm of each tensor, shape (len(tensors),); in float32 at least, so that bf16 sums lose nothing."""
    dtype = functools.reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)
    return torch.stack(torch._foreach_norm(list(tensors), 2, dtype=dtype))


@torch.no_grad()
def gradient_norm(parameters: Sequence[Tensor], across: Across | None = None) -> Tensor:
    """L2 norm of all gradients together, a scalar tensor; 0 where there is no gradient."""
    present = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.linalg.vector_norm((across or Whole()).norms(present)) if present else torch.zeros(())


def report(norms: Tensor, scales: Tensor) -> Clipped:
    """The report of a clip that multiplies parts of the gradient, of these norms, by `scales`: no further pass over
    the gradient is needed. Both of shape (parts,)."""
    before, after = torch.linalg.vector_norm(norms), torch.linalg.vector_norm(norms * scales)
    return Clipped(before, (scales < 1).any(), torch.where(before > 0, after / before, 1.0))
