"""What every function has: its exact value, its minimum, and the noisy samples that an optimizer sees."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from optbench.contracts import Batch


class Function(nn.Module):
    """f(theta) of float64 parameters, the mean of the functions f_i that the samples i stand for.

    A vector theta has the role `bias`: it is not decayed (a decay would move the minimum), and optimizers of matrices
    leave it to their rule for vectors."""

    metric = "gap"
    """f(theta) - min f, unless a function says otherwise: 0 at the minimum."""
    minimum = 0.0
    """The least value of f."""
    width = 0
    """Random numbers that a sample takes, about: how many samples are drawn at once goes by it."""
    gives_distribution = True
    """Whether f is a negative log-likelihood, up to a constant, so that `sampled` exists."""

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """What the samples `index` (B,) bring: tensors (B, ...), functions of the seed and the index alone."""
        return {}

    def value(self) -> Tensor:
        """f(theta), exact."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        """The sum of f_i(theta) over a batch: B f(theta), where the samples differ by nothing."""
        return self.value() * len(batch["index"])

    def sampled(self, batch: Batch) -> Tensor:
        """The same at targets drawn from the model's own distribution by torch's global generator."""
        raise NotImplementedError

    def measure(self) -> Tensor:
        """The metric at theta."""
        return self.value() - self.minimum

    def project(self) -> None:
        """Bring theta back to where it is allowed: everywhere, here."""
