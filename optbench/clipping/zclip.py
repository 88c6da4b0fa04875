"""ZClip: the joint norm is clipped if it is an outlier among earlier norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from optbench.clipping import foreach
from optbench.clipping.base import Clip, ClipReport, gradient_norm, gradients_of
from optbench.contracts import Problem


class ZClip(Clip):
    """Kumar, Owen, Roy Chowdhury, Güra (2025), arXiv:2504.02507, with reciprocal clipping:

        z = (|g| - mean) / (std + eps);  if z > z_threshold:  |g| becomes mean + (z_threshold^2 / z) std

    The first `warmup_steps` norms are not clipped; they give the first mean and (population) variance. Then, with the
    norm n after clipping, mean = alpha mean + (1 - alpha) n and var = alpha var + (1 - alpha) (n - mean)^2 with the
    new mean. This order and eps are from the authors' code. Its second clip, to a fixed norm, is not in the paper and
    is left out.

    A gradient whose norm is not finite stays as it is, enters no statistic and does not count as a warm-up step.
    State: mean, variance and number of norms, three float64 scalars on the device.
    """

    def __init__(self, problem: Problem, *, alpha: float, z_threshold: float, warmup_steps: int, eps: float) -> None:
        super().__init__(problem)
        self.alpha, self.z_threshold, self.warmup_steps, self.eps = alpha, z_threshold, warmup_steps, eps
        device = problem.parameters[0].tensor.device
        self.mean, self.var, self.count = torch.zeros(3, dtype=torch.float64, device=device).unbind()

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        norm = gradient_norm(parameters, self.reductions)
        exact = norm.double()
        std = self.var.sqrt()
        z = (exact - self.mean) / (std + self.eps)
        spike = (self.count >= self.warmup_steps) & exact.isfinite() & (z > self.z_threshold)
        threshold = torch.where(spike, self.mean + self.z_threshold**2 / z * std, exact)
        scale = torch.where(spike, threshold / exact, 1.0)
        foreach.mul_(gradients_of(parameters), scale.to(norm.dtype))
        if advance:
            self._update_statistics(threshold)
        return ClipReport(norm, spike, scale)

    def _update_statistics(self, norm: Tensor) -> None:
        """Add a clipped norm to the statistics: Welford's sums in the warm-up, then moving averages."""
        warm, finite, count = self.count < self.warmup_steps, norm.isfinite(), self.count + 1
        share = torch.where(warm, 1 / count, 1 - self.alpha)
        mean = torch.lerp(self.mean, norm, share)
        # Welford: n var_n = (n - 1) var_(n-1) + (x - old mean) (x - new mean); the average uses the new mean twice
        square = (norm - mean) * (norm - torch.where(warm, self.mean, mean))
        var = torch.lerp(self.var, square, share)
        for old, new in ((self.mean, mean), (self.var, var), (self.count, count)):
            old.copy_(torch.where(finite, new, old))

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "var": self.var, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, value in self.state_dict().items():
            value.copy_(state[name])
