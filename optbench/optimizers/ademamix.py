r"""AdEMAMix (Pagliardini, Ablin and Grangier, 2024, The AdEMAMix Optimizer: Better, Faster, Older, arXiv:2409.03137,
algorithm 1).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t                       the fast average, as Adam's
    n_t     = beta3_t n_{t-1} + (1 - beta3_t) g_t                   the slow average
    v_t     = beta2 v_{t-1} + (1 - beta2) g_t^2
    theta_t = (1 - lr weight_decay) theta_{t-1}
              - lr (m_t / (1 - beta1^t) + alpha_t n_t) / (sqrt(v_t / (1 - beta2^t)) + eps)

The bias of n is not corrected. alpha_t grows linearly from 0 to alpha in `alpha_warmup` steps; in `beta3_warmup` steps
the half-life of the slow average grows linearly from that of beta1 to that of beta3. Without a warm-up both are
constant. Defaults: betas (0.9, 0.999, 0.9999), alpha 2 in the authors' code, 5 to 10 in the paper. State: m, n and v.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_

TINY = 1e-8  # added to the betas in the logarithms by the authors' code; it allows beta1 = 0


@elementwise
def ademamix(
    theta: Tensor, g: Tensor, m: Tensor, n: Tensor, v: Tensor, fast: float, slow: float, new1: float, new2: float,
    new3: float, eps: float, keep: float,
) -> None:  # fmt: skip
    """Take one step in place, with numerator and denominator multiplied by root = sqrt(1 - beta2^t).

    fast = lr root / (1 - beta1^t), slow = lr root alpha_t, eps is multiplied by root; new = 1 - beta."""
    lerp_(m, g, new1)
    lerp_(n, g, new3)
    lerp_(v, g.square(), new2)
    theta.mul_(keep).sub_((m * fast + n * slow).div_(v.sqrt().add_(eps)))


class AdEMAMix(RuleOptimizer):
    """AdamW with a second, much slower average of the gradients."""

    rule = staticmethod(ademamix)
    state_names = ("m", "n", "v")

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float, float],
        alpha: float,
        alpha_warmup: int | None,
        beta3_warmup: int | None,
        eps: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "alpha_warmup": alpha_warmup, "beta3_warmup": beta3_warmup}, engine)

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return the factors of both averages, 1 - beta of all three, eps root, 1 - lr * weight_decay."""
        lr, (beta1, beta2, beta3) = group["lr"], group["betas"]
        root = math.sqrt(1 - beta2**t)
        alpha = group["alpha"] * done(t, group["alpha_warmup"])
        slow = slower(beta1, beta3, done(t, group["beta3_warmup"]))
        averages = (lr * root / (1 - beta1**t), lr * root * alpha, 1 - beta1, 1 - beta2, 1 - slow)
        return *averages, group["eps"] * root, 1 - lr * group["weight_decay"]


def done(t: int, warmup: int | None) -> float:
    """Return the share of a warm-up that is over in step t, from 0 to 1; 1 without a warm-up."""
    return min(1.0, t / warmup) if warmup else 1.0


def slower(beta1: float, beta3: float, share: float) -> float:
    """Return the decay rate whose half-life is this share of the way from that of beta1 to that of beta3."""
    first, last = (math.log(0.5) / math.log(beta + TINY) for beta in (beta1, beta3))
    return 0.5 ** (1 / ((1 - share) * first + share * last)) if share < 1 else beta3
