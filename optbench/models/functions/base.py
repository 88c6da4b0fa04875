"""The base of functions: exact value, minimum, and the noisy samples that an optimizer sees."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from optbench.contracts import Batch


class Function(nn.Module):
    """f(theta) of float64 parameters: the mean of functions f_i, one per sample i.

    A vector theta has the role `bias`. It has no weight decay, which would move the minimum, and optimizers of matrices
    use their rule for vectors."""

    metric = "gap"
    """By default f(theta) - min f: 0 at the minimum."""
    minimum = 0.0
    """The least value of f."""
    width = 0
    """About how many random numbers a sample takes; it decides how many samples are drawn at once."""
    gives_distribution = True
    """True if f is a negative log-likelihood up to a constant, so that `sampled` exists."""

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """Draw the tensors (B, ...) of the samples `index` (B,) from the seed and the index alone."""
        return {}

    def value(self) -> Tensor:
        """Return the exact f(theta)."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        """Return the sum of f_i(theta) over a batch: by default B f(theta), for samples without noise."""
        return self.value() * len(batch["index"])

    def sampled(self, batch: Batch) -> Tensor:
        """Return the sum at targets sampled from the model's own distribution with torch's global generator."""
        raise NotImplementedError

    def measure(self) -> Tensor:
        """Return the metric at theta."""
        return self.value() - self.minimum

    def project(self) -> None:
        """Project theta onto its feasible set; by default everything is feasible."""
