"""Losses of discriminator and generator, as functions of the scores (B,) of real and generated images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class AdversarialLoss:
    """Terms to sum over samples, and the size of a mean loss beyond which a run has diverged."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """From scores of real and of generated images, (B,) each."""
    generator: Callable[[Tensor], Tensor]
    """From scores of generated images."""
    bound: float


LOSSES = {
    # Goodfellow et al., 2014, arXiv:1406.2661: cross-entropy; the generator's loss is the non-saturating one
    "cross_entropy": AdversarialLoss(
        lambda real, fake: functional.softplus(-real) + functional.softplus(fake),
        lambda fake: functional.softplus(-fake),
        1e3,
    ),
    # Lim and Ye, 2017, arXiv:1705.02894
    "hinge": AdversarialLoss(lambda real, fake: functional.relu(1 - real) + functional.relu(1 + fake), torch.neg, 1e3),
    # Arjovsky et al., 2017, arXiv:1701.07875; has no natural scale
    "wasserstein": AdversarialLoss(lambda real, fake: fake - real, torch.neg, 1e6),
}


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Return the sum over samples of (|gradient of the score by the image| - 1)^2.

    It is taken at points between real and generated images, `share` (B, 1) of the way (Gulrajani et al., 2017,
    arXiv:1704.00028), in float32 because it is differentiated again."""
    with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
        leaf = real.lerp(fake.float(), share.view(-1, 1, 1, 1)).requires_grad_()
        between = leaf.view_as(leaf)  # torch's FLOP counter cannot follow gradients by a leaf
        scores = discriminator.forward(between)  # bypasses torch.compile, which has no second derivatives
        (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().sum()
