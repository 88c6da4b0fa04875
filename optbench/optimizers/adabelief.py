r"""AdaBelief (Zhuang et al., 2020, AdaBelief Optimizer, arXiv:2010.07468, algorithm 2).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    s_t     = beta2 s_{t-1} + (1 - beta2) (g_t - m_t)^2 + eps
    theta_t = theta_{t-1} - lr m_t / (1 - beta1^t) / (sqrt(s_t / (1 - beta2^t)) + eps)

eps is added into the stored s_t in every step, as in the paper and the authors' code: it accumulates to
eps (1 - beta2^t) / (1 - beta2), up to a thousand times eps. Decay is decoupled. Defaults: betas (0.9, 0.999), eps 1e-8.
State: m and s.
"""

from __future__ import annotations

from torch import Tensor

from optbench.optimizers.adam import AdamW
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def adabelief(
    theta: Tensor, g: Tensor, m: Tensor, s: Tensor, step: float, new1: float, new2: float, eps: float, keep: float,
    stored_eps: float,
) -> None:  # fmt: skip
    """Take one step in place, with Adam's numbers; stored_eps is the eps added into s."""
    lerp_(m, g, new1)
    lerp_(s, (g - m).square_(), new2)
    s.add_(stored_eps)
    theta.mul_(keep).sub_(m.div(s.sqrt().add_(eps)).mul_(step))


class AdaBelief(AdamW):
    """Adam with the gradient's deviation from its mean in place of the gradient's square."""

    rule = staticmethod(adabelief)
    state_names = ("m", "s")

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return AdamW's numbers and eps."""
        return (*super().hyperparameters(group, t), group["eps"])
