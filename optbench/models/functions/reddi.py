"""The counterexample to Adam (Reddi, Kale and Kumar, 2018, On the Convergence of Adam and Beyond, arXiv:1904.09237,
section 5): rare steep slopes in the right direction among many gentle ones in the wrong direction.

    online:       f_t(x) = 1010 x where t mod 101 = 1, else -10 x       (t = 1, 2, ...)
    stochastic:   f_t(x) = 1010 x with probability 1/100, else -10 x

x is projected onto [-1, 1] after every step and starts from 0. The mean slope is positive (10/101 online, 1/5
stochastic), so that the best x is -1. Adam's second moment forgets the steep slope and x goes to +1. The metric is
`distance` = x + 1: 0 at the best point, 1 at the start, 2 at the worst. The loss f is the mean slope times x. It is
linear, so that no distribution has it as its negative log-likelihood.

The stochastic form needs long budgets and several seeds: n slopes sum to 0.2 n with a standard deviation of about
101 sqrt(n). Below about 10^6 steps, optimizers without Adam's failure perform a random walk.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, DataSet
from optbench.models.functions.base import Function

STEEP, GENTLE = 1010.0, -10.0
PERIOD, PROBABILITY = 101, 0.01


def online(seed: int, index: Tensor) -> Tensor:
    """Return True for steep slopes: every 101st sample, from the first on."""
    return index % PERIOD == 0


def stochastic(seed: int, index: Tensor) -> Tensor:
    """Return True for steep slopes, at random."""
    return counter_rng.uniform(seed, index, 1)[:, 0] < PROBABILITY


VARIANTS = {"online": (online, 1 / PERIOD), "stochastic": (stochastic, PROBABILITY)}


class Reddi(Function):
    """f of `x` (1,)."""

    metric = "distance"
    width = 1
    gives_distribution = False

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.steep, share = VARIANTS[variant]
        self.slope = share * STEEP + (1 - share) * GENTLE
        self.minimum = -self.slope
        self.x = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """Draw "slopes" (B,)."""
        return {"slopes": torch.where(self.steep(seed, index), STEEP, GENTLE).to(torch.float64)}

    def value(self) -> Tensor:
        return self.slope * self.x[0]

    def forward(self, batch: Batch) -> Tensor:
        return (batch["slopes"] * self.x).sum()

    def measure(self) -> Tensor:
        return self.x[0] + 1

    @torch.no_grad()
    def project(self) -> None:
        self.x.clamp_(-1, 1)


def build(data: DataSet, *, variant: str) -> nn.Module:
    """Build the function; its slopes depend on the sample's number in the data's stream."""
    return Reddi(variant)
