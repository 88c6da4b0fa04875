r"""StableAdamW (Wortsman et al., 2023, Stable and low-precision training for large-scale vision-language models,
arXiv:2304.13013, algorithm 2): AdamW that shortens the step of a tensor whose gradients outgrow their second moment.

    b1_t, b2_t = beta1 (1 - beta1^{t-1}) / (1 - beta1^t), beta2 (1 - beta2^{t-1}) / (1 - beta2^t)
    m_t     = b1_t m_{t-1} + (1 - b1_t) g_t                         the bias-corrected averages of Adam
    v_t     = b2_t v_{t-1} + (1 - b2_t) g_t^2
    lr_t    = lr / max(1, sqrt(mean(g_t^2 / max(v_t, eps^2))))      per tensor
    theta_t = (1 - lr_t weight_decay) theta_{t-1} - lr_t m_t / (sqrt(v_t) + eps)

The limit of the update is Adafactor's. Defaults: betas (0.9, 0.99), eps 1e-6. State: m and v.
"""

from __future__ import annotations

from torch import Tensor

from optbench.optimizers.adam import AdamW
from optbench.optimizers.core.rule import ParamGroup, lerp_


def stable_adamw(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, new1: float, new2: float, eps: float, smallest: float,
    weight_decay: float,
) -> None:  # fmt: skip
    """Take one step in place; new = 1 - b_t, smallest = eps^2."""
    square = g.square()
    lerp_(m, g, new1)
    lerp_(v, square, new2)
    step = lr / (square / v.clamp(min=smallest)).mean().sqrt().clamp(min=1.0)
    theta.mul_(1 - step * weight_decay).sub_(m.div(v.sqrt().add_(eps)).mul_(step))


class StableAdamW(AdamW):
    """AdamW with Adafactor's clipping of the update."""

    rule = staticmethod(stable_adamw)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - b1_t, 1 - b2_t, eps, eps^2, weight decay."""
        new1, new2 = ((1 - beta) / (1 - beta**t) for beta in group["betas"])
        return group["lr"], new1, new2, group["eps"], group["eps"] ** 2, group["weight_decay"]
