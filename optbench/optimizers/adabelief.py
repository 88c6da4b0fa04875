r"""AdaBelief (Zhuang et al., 2020, AdaBelief Optimizer, arXiv:2010.07468, algorithm 2).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    s_t     = beta2 s_{t-1} + (1 - beta2) (g_t - m_t)^2 + eps
    theta_t = theta_{t-1} - lr m_t / (1 - beta1^t) / (sqrt(s_t / (1 - beta2^t)) + eps)

eps is added into the stored s_t in every step, as in the paper and the authors' code: it accumulates to
eps (1 - beta2^t) / (1 - beta2), up to a thousand times eps. Decay is decoupled. State: m and s.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from optbench.optimizers.adam import AdamW
from optbench.optimizers.core.engine import elementwise, mix


@elementwise
def adabelief(
    theta: Tensor, g: Tensor, m: Tensor, s: Tensor, step: float, new1: float, new2: float, eps: float, keep: float,
    stored_eps: float,
) -> None:  # fmt: skip
    """One step in place; the numbers are those of Adam, and eps as it is added into s."""
    mix(m, g, new1)
    mix(s, (g - m).square_(), new2)
    s.add_(stored_eps)
    theta.mul_(keep).sub_(m.div(s.sqrt().add_(eps)).mul_(step))


class AdaBelief(AdamW):
    """Adam with the deviation of the gradient from its mean in place of its square."""

    rule: Any = staticmethod(adabelief)
    state_names = ("m", "s")

    def hyperparameters(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """AdamW's numbers and eps."""
        return (*super().hyperparameters(group, t), group["eps"])
