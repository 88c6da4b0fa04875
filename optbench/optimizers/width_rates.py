r"""Rates by width, around any optimizer: a rate tuned on a narrow network, used on a wide one.

    u_t     = theta_t - theta_{t-1} of the inner optimizer
    theta_t = theta_{t-1} + (tuned_at / width)^power u_t           for matrices, convolutions and the output layer

Everything else (embeddings, the layer that reads the input, norms, biases) takes the inner step as it is. With
power = 1 these are the rates of muP for Adam (Yang et al., 2022, Tensor Programs V, arXiv:2203.03466, table 3), in the
standard parametrisation: initial weights and the output's scale stay as they are. Everett et al. (2024, Scaling
Exponents Across Parameterizations and Optimizers, arXiv:2407.05872) find that such rates transfer across widths too.
Decoupled decay is part of the inner step, so its product with the rate shrinks with it. State: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from optbench.contracts import Parameter
from optbench.errors import ConfigError
from optbench.optimizers.core import foreach
from optbench.optimizers.core.eval_weights import has_eval_weights
from optbench.optimizers.core.rule import Closure, Loss
from optbench.optimizers.core.wrapper import Wrapper

ROLES = ("matrix", "convolution", "head")


class WidthRates(Wrapper):
    """An optimizer whose steps of hidden layers are scaled by a power of the width.

    `width`: units of the network's hidden layers; `tuned_at`: those at which the rate was tuned; `parameters`: of the
    network, with their roles. Raises ConfigError for an optimizer that makes the weights anew from others."""

    def __init__(self, inner: Any, *, tuned_at: int, power: float, parameters: Sequence[Parameter], width: int) -> None:
        super().__init__(inner)
        if has_eval_weights(inner):
            raise ConfigError(
                "width_rates cannot scale the steps of an optimizer that makes its weights from others (schedule-free)",
                "Leave one of them out",
            )
        self.factor = (tuned_at / width) ** power
        self.scaled = [p.tensor for p in parameters if p.role in ROLES]

    def step(self, closure: Closure | None = None) -> Loss:
        """Take one inner step, then scale what it did to hidden layers; return the closure's loss."""
        if self.factor == 1:
            return self.step_inner(closure)
        before = [theta.detach().clone() for theta in self.scaled]
        loss = self.step_inner(closure)
        with torch.no_grad():
            foreach.lerp_(self.scaled, before, 1 - self.factor)
        return loss
