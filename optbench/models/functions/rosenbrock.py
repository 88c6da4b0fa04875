"""The chained Rosenbrock function (Rosenbrock, 1960, An Automatic Method for Finding the Greatest or Least Value of a
Function, The Computer Journal 3): a curved valley with steep sides and a nearly flat floor.

    f(x) = sum_{i < d} 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2;   minimum 0 at (1, ..., 1)

It starts from (-1.2, 1, -1.2, 1, ...). In 4 dimensions and more there is a second, local minimum near
(-1, 1, ..., 1) (Shang and Qiu, 2006, A Note on the Extended Rosenbrock Function), where an optimizer may converge.

Its distribution: f is a sum of squared residuals, -log of a Gaussian of variance 1/2 up to a constant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, DataSet
from optbench.models.functions.base import Function

START = (-1.2, 1.0)


class Rosenbrock(Function):
    """f of `x` (d,)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        start = torch.tensor(START, dtype=torch.float64).repeat((dimension + 1) // 2)
        self.x = nn.Parameter(start[:dimension].clone())

    def residuals(self) -> tuple[Tensor, Tensor]:
        """Return 10 (x_{i+1} - x_i^2) and 1 - x_i, each (d - 1,)."""
        head = self.x[:-1]
        return 10 * torch.addcmul(self.x[1:], head, head, value=-1), 1 - head

    def value(self) -> Tensor:
        steep, flat = self.residuals()
        return torch.dot(steep, steep) + torch.dot(flat, flat)

    def sampled(self, batch: Batch) -> Tensor:
        count = len(batch["index"])
        residuals = torch.cat(self.residuals())
        targets = residuals.detach() + torch.randn_like(residuals.expand(count, -1)) / 2**0.5
        return (residuals - targets).square().sum()


def build(data: DataSet, *, dimension: int) -> nn.Module:
    """Build the function; of the data it uses only the number of samples in a batch."""
    return Rosenbrock(dimension)
