"""AdaGC: each tensor is clipped by the running mean of its own norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from optbench.clipping import foreach
from optbench.clipping.base import Clip, ClipReport, gradients_of, report_scales
from optbench.contracts import Problem


class AdaGC(Clip):
    """Wang, Li, Chen, Zeng, Yang, Ma, Yu, Shen (2025), arXiv:2502.11034. For tensor i with gradient g_i:

        the first warmup_steps:  g_i *= min(1, max_norm / |g|)          gamma_i = min(gamma_i, |g_i|), at first |g_i|
        then:                    g_i *= min(1, ratio gamma_i / |g_i|)   gamma_i = beta gamma_i + (1 - beta) |g_i|

    with the joint norm |g| before clipping and gamma's |g_i| after it. max_norm is the paper's lambda_abs and ratio its
    lambda_rel. (pytorch-optimizer's warm-up ends one step earlier.)

    Our choices, where the paper is silent. Gamma ignores a tensor without a gradient or with zero gradients: from 0 it
    could never grow again, and a head that starts at zero gives all tensors below it zero gradients in the first step.
    A tensor first seen after the warm-up is not clipped in that step. A gradient whose joint norm is not finite stays
    as it is, changes no gamma and does not count as a warm-up step.
    State: gamma (infinity at first), one float32 per tensor, and the number of steps, on the device.
    """

    def __init__(self, problem: Problem, *, max_norm: float, ratio: float, beta: float, warmup_steps: int) -> None:
        super().__init__(problem)
        self.max_norm, self.ratio, self.beta, self.warmup_steps = max_norm, ratio, beta, warmup_steps
        device = problem.parameters[0].tensor.device
        self.gamma = torch.full((len(problem.parameters),), torch.inf, device=device)
        self.count = torch.zeros((), dtype=torch.int64, device=device)
        self.gammas = {id(p.tensor): gamma for p, gamma in zip(problem.parameters, self.gamma.unbind(), strict=True)}

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        gradients = gradients_of(parameters)
        views = [self.gammas[id(parameter)] for parameter in parameters]
        norms, gamma, warm = self.reductions.norms(gradients), torch.stack(views), self.count < self.warmup_steps
        joint = torch.linalg.vector_norm(norms)
        scales = torch.where(warm, self.max_norm / joint, self.ratio * gamma / norms).clamp(max=1)
        scales = torch.where(joint.isfinite(), scales, 1.0)
        foreach.mul_(gradients, scales.unbind())
        if advance:
            after = (norms * scales).to(gamma.dtype)
            average = torch.where(gamma.isinf(), after, torch.lerp(after, gamma, self.beta))
            new = torch.where(warm, torch.minimum(gamma, after), average)
            learned = torch.where(joint.isfinite() & (after > 0), new, gamma)
            foreach.copy_(views, learned.unbind())
            self.count += joint.isfinite()
        return report_scales(norms, scales)

    def state_dict(self) -> dict[str, Tensor]:
        return {"gamma": self.gamma, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.gamma.copy_(state["gamma"])
        self.count.copy_(state["count"])
