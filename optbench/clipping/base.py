"""The base class of clips, the report that a clip returns, and the norms that clips share.

A clip changes gradients in place and reports tensors on their device. It reads no tensor's value, so the CPU does not
wait for the device.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from optbench.clipping import foreach
from optbench.contracts import Problem
from optbench.errors import ConfigError


@dataclass(frozen=True)
class ClipReport:
    """Measurements of one clipping, as scalar tensors; all None if the clip did not look at the gradients."""

    norm: Tensor | None = None
    """Global L2 norm of the gradient before clipping."""
    clipped: Tensor | None = None
    """True if anything was clipped: one element, unit or tensor is enough."""
    scale: Tensor | None = None
    """Global L2 norm after clipping divided by the norm before; 1 if untouched."""


class Clip:
    """A clip for the parameters of one problem. A subclass writes `apply`, and its state if it has one.

    Norms of whole tensors come from `reductions`, because a rank may hold only some of their rows."""

    def __init__(self, problem: Problem) -> None:
        self.problem: Problem | None = problem
        self.reductions: Reductions = LocalReductions()

    @torch.no_grad()
    def __call__(self, parameters: Sequence[Tensor], advance: bool = True) -> ClipReport:
        """Clip the gradients of `parameters`.

        Running statistics advance only if `advance` is true: once a step, with the gradient at the step's first
        weights. Later evaluations of the same step (SAM, line search) are clipped by the statistics as they are."""
        with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
        report = self.apply(with_gradient, advance) if with_gradient else ClipReport()
        if not isinstance(report, ClipReport):  # pyright: ignore[reportUnnecessaryIsInstance]  # a class of the user's
            name = type(self).__name__
            raise ConfigError(
                f"{name}.apply returns a {type(report).__name__}", "Return optbench.clipping.ClipReport(...)"
            )
        return report

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        """Clip one or more parameters, all of which have a gradient."""
        raise TypeError(f"{type(self).__name__} does not define apply()")

    def state_dict(self) -> dict[str, Tensor]:
        """Return the running statistics for a checkpoint, by name; empty if there are none."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the running statistics."""


class Reductions(Protocol):
    """Facts about tensors that may be spread over several ranks."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the L2 norm of each tensor, shape (len(tensors),)."""
        ...

    def any_rank(self, flag: Tensor) -> Tensor:
        """Return True if a flag is true on any rank."""
        ...


class LocalReductions:
    """The same facts for tensors that this process holds as a whole."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the L2 norm of each tensor, shape (len(tensors),)."""
        return tensor_norms(tensors)

    def any_rank(self, flag: Tensor) -> Tensor:
        """Return the flag."""
        return flag


def gradients_of(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of the parameters that have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def tensor_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of each tensor, shape (len(tensors),), in at least float32: bf16 sums would be inexact."""
    dtype = functools.reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)
    return torch.stack(foreach.norm(list(tensors), 2, dtype=dtype))


@torch.no_grad()
def gradient_norm(parameters: Sequence[Tensor], reductions: Reductions | None = None) -> Tensor:
    """Return the L2 norm of all gradients together, a scalar tensor; 0 without gradients."""
    gradients = gradients_of(parameters)
    if not gradients:
        return torch.zeros(())
    return torch.linalg.vector_norm((reductions or LocalReductions()).norms(gradients))


def report_scales(norms: Tensor, scales: Tensor) -> ClipReport:
    """Return the report of a clip that multiplies parts of the gradient, of these norms, by `scales`.

    Both have shape (parts,). No further pass over the gradient is needed."""
    before, after = torch.linalg.vector_norm(norms), torch.linalg.vector_norm(norms * scales)
    return ClipReport(before, (scales < 1).any(), torch.where(before > 0, after / before, 1.0))
