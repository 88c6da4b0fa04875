"""The curvature of a made-up loss, for optimizers that ask for second-order information."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from optbench.checks.papers import Evidence

SAMPLES = 12  # number of terms of the mean loss


class ScriptedCurvature:
    """The Curvature of a loss whose Hessian is a constant diagonal plus a coupling of all elements."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random, self.scale = random, 1.0
        self.evidence: Evidence | None = None
        """The last answer, as the paper's rule receives it."""

    def sampled_gradients(self, thetas: Sequence[Tensor]) -> tuple[list[Tensor], int]:
        """Return random gradients and SAMPLES; record the gradient of the last tensor."""
        answers = [np.asarray(self.scale * self.random.standard_normal(tuple(theta.shape))) for theta in thetas]
        self.evidence = {"sampled": answers[-1], "count": np.array(SAMPLES)}
        return [torch.as_tensor(a, dtype=t.dtype) for a, t in zip(answers, thetas, strict=True)], SAMPLES

    def hessian_products(self, thetas: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Return the products with these vectors; record the last vector and product."""
        return [self._product(vector) for vector in vectors]

    def _product(self, vector: Tensor) -> Tensor:
        probe = vector.detach().double().numpy().copy()
        diagonal = 0.8 + np.cos(np.arange(probe.size)).reshape(probe.shape)  # some entries are negative
        product = np.asarray(self.scale * (diagonal * probe + 0.1 * probe.mean()))
        self.evidence = {"probe": probe, "product": product}
        return torch.as_tensor(product, dtype=vector.dtype)
