"""Gradient clipping between the gradients and the optimizer step.

A clip is called with the parameters of a player and returns a `Clipped`: tensors on the device, so that nothing waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm


@dataclass(frozen=True)
class Clipped:
    """What a clip saw and did: the global L2 norm before (None where it was not needed), and 1 where it clipped."""

    norm: Tensor | None = None
    clipped: Tensor | None = None


def gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradients that are there."""
    return [p.grad for p in parameters if p.grad is not None]


def global_norm(parameters: Sequence[Tensor]) -> Tensor:
    """L2 norm of all gradients together, a scalar tensor."""
    return get_total_norm(gradients(parameters))


class NoClip:
    """Gradients as they are."""

    def __call__(self, parameters: Sequence[Tensor]) -> Clipped:
        return Clipped()


class GlobalNorm:
    """g *= max_norm / |g| where the joint norm |g| exceeds max_norm (Pascanu et al., 2013)."""

    def __init__(self, *, max_norm: float) -> None:
        self.max_norm = max_norm

    def __call__(self, parameters: Sequence[Tensor]) -> Clipped:
        norm = global_norm(parameters)
        clip_grads_with_norm_(parameters, self.max_norm, norm)
        return Clipped(norm, norm > self.max_norm)


class Value:
    """Every element limited to [-max_value, max_value]."""

    def __init__(self, *, max_value: float) -> None:
        self.max_value = max_value

    def __call__(self, parameters: Sequence[Tensor]) -> Clipped:
        norm = global_norm(parameters)
        largest = torch.stack([g.abs().max() for g in gradients(parameters)]).max()
        clip_grad_value_(parameters, self.max_value)
        return Clipped(norm, largest > self.max_value)
