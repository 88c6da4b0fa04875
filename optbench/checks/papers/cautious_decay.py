"""Cautious weight decay: an entry decays only where the update has the sign of the entry. A modifier of any rule.

Lizhang Chen, Jonathan Li, Kaizhao Liang, Baiyu Su, Cong Xie, Nuo Wang Pierse, Chen Liang, Ni Lao, Qiang Liu (2025),
"Cautious Weight Decay", arXiv:2510.12402, Algorithm 1.

    lr u = theta_before - theta_after           what the inner rule subtracted, without weight decay
    theta <- theta_before - lr (u + wd I(u theta_before >= 0) theta_before)

Where u or theta is 0, the indicator is 1.
"""

import numpy as np

from optbench.checks.papers import Array, Rates, Trajectory


def paper(theta: Array, steps: Trajectory, *, lr: Rates, weight_decay: float) -> Trajectory:
    """Yield theta after each step. `steps`: the inner rule's generator, with weight_decay 0."""
    before = theta.copy()
    for _, rate in zip(steps, lr):
        same = (before - theta) * before >= 0
        theta -= np.where(same, rate * weight_decay * before, 0.0)
        yield theta
        before = theta.copy()  # an outer modifier may have changed theta
