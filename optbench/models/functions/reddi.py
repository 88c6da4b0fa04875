"""The counterexample to Adam (Reddi, Kale and Kumar, 2018, On the Convergence of Adam and Beyond, arXiv:1904.09237,
section 5): a rare steep slope in the right direction among many gentle ones in the wrong one.

    online:       f_t(x) = 1010 x where t mod 101 = 1, else -10 x       (t = 1, 2, ...)
    stochastic:   f_t(x) = 1010 x with probability 1/100, else -10 x

x lies in [-1, 1], held there by projection after every step, and starts from 0. The mean slope is positive (10/101
online, 1/5 stochastic), so that the best x is -1; Adam's second moment forgets the steep slope and x goes to +1.
The metric is `distance` = x + 1: 0 at the best point, 1 at the start, 2 at the worst. Its loss f is the mean slope
times x. It is linear: no distribution has it as its negative log-likelihood on targets.

The stochastic form is for long budgets and several seeds: n slopes sum to 0.2 n with a standard deviation of about
101 sqrt(n), so that below some 10^6 steps what does not fail as Adam does wanders.
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
    """Whether the slope is steep: every 101st sample, the first of all included."""
    return index % PERIOD == 0


def stochastic(seed: int, index: Tensor) -> Tensor:
    """The same by chance."""
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
        """ "slopes" (B,)."""
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
    """The function; its slopes go by the number of the sample in the data's stream."""
    return Reddi(variant)
