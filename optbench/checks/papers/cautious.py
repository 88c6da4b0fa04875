"""Cautious updates: entries whose update opposes the gradient do not move. A modifier of any rule.

Kaizhao Liang, Lizhang Chen, Bo Liu, Qiang Liu (2024), "Cautious Optimizers: Improving Training with One Line of Code",
arXiv:2411.16085, Algorithm 1.

    u = theta_before - theta_after              what the inner rule subtracted, without weight decay
    mask = 1 where u g > 0, else 0
    theta <- theta_before - u mask / max(mean(mask), floor)

The paper scales by d / (nnz(mask) + 1), d the number of entries. Here the update is divided by mean(mask), or by floor
if that is larger, as in the authors' later code and in timm (floor 1e-3). The mean is per tensor. The mask uses the
whole update; the authors' AdamW uses the sign of its first moment, which is the same because the divisor is positive.
The mask does not change the inner state (momentum). The caller applies weight decay, if any, around this modifier.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Trajectory


def paper(theta: Array, steps: Trajectory, gradients: Gradients, *, floor: float) -> Trajectory:
    """Yield theta after each step. `steps`: the inner rule's generator, with weight_decay 0; `gradients`: the gradients
    that the inner rule receives."""
    before = theta.copy()
    for g, _ in zip(gradients, steps, strict=True):
        u = before - theta
        mask = np.asarray(u * g > 0, dtype=np.float64)
        share = mask.sum() / max(mask.size, 1)
        theta[...] = before - u * mask / max(share, floor)
        yield theta
        before = theta.copy()  # an outer modifier may have changed theta
