"""Cautious updates: entries that would go against the gradient stand still. A modifier of any rule.

Kaizhao Liang, Lizhang Chen, Bo Liu, Qiang Liu (2024), "Cautious Optimizers: Improving Training with One Line of Code",
arXiv:2411.16085, Algorithm 1.

    u = theta_before - theta_after              what the inner rule subtracted, without weight decay
    mask = 1 where u g > 0, else 0
    theta <- theta_before - u mask / max(mean(mask), floor)

The paper scales by d / (nnz(mask) + 1), d the number of entries; here it is one over the share that is left, at least
floor, as in the authors' later code and in timm (floor 1e-3). The share is taken per tensor. The mask is of the whole
update; the authors' AdamW takes the sign of its first moment, which is the same, for the divisor is positive. The
inner state (momentum) does not see the mask. Where weight decay is wanted, the caller applies it around this modifier.
"""

import numpy as np


def paper(theta, steps, gradients, *, floor):
    """Yields theta, changed in place, after each step. steps: the generator of an inner rule's paper over the same
    theta, with weight_decay 0; gradients: the gradients that it is fed, one a step."""
    before = theta.copy()
    for g, _ in zip(gradients, steps, strict=True):
        u = before - theta
        mask = np.asarray(u * g > 0, dtype=np.float64)
        share = mask.sum() / max(mask.size, 1)
        theta[...] = before - u * mask / max(share, floor)
        yield theta
        before = theta.copy()  # an outer modifier may have changed theta in between
