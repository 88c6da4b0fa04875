"""AdaHessian: Adam whose second moment is that of the Hessian's diagonal.

Zhewei Yao, Amir Gholami, Sheng Shen, Mustafa Mustafa, Kurt Keutzer, Michael W. Mahoney (2021), "ADAHESSIAN: An Adaptive
Second Order Optimizer for Machine Learning", arXiv:2006.00719, Algorithm 1, with the blocks of the authors' code.

    at (t - 1) % interval = 0:  D = |z (H z)| averaged over its block, z a Rademacher probe; else D stays
    m_t = b1 m_{t-1} + (1 - b1) g_t                             m_0 = 0
    v_t = b2 v_{t-1} + (1 - b2) D^2                             v_0 = 0, in every step, also with a kept D
    mhat = m_t / (1 - b1^t),  vhat = v_t / (1 - b2^t)
    theta <- theta - lr (mhat / (sqrt(vhat)^k + eps) + wd theta)        k = hessian_power

Blocks of the spatial average: the last two dimensions of a 4-D tensor (a filter of a convolution), the last one of 2-D
and 3-D, none below. The absolute value is taken before the average, as in the authors' code; the paper averages z (H z)
itself. Their code has no interval. A kept D enters v again in every step, as in davda54/ada-hessian; pytorch-optimizer
leaves v unchanged but still corrects its bias. Weight decay is decoupled and uses the theta before the step.
"""

from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Betas, Evidence, Rates, Trajectory

AXES = {4: (2, 3), 3: (2,), 2: (1,)}  # by ndim


def _diagonal(probe: Array, product: Array) -> Array:
    D = np.abs(probe * product)
    axes = AXES.get(D.ndim, ())
    return D.mean(axis=axes, keepdims=True) if axes and D.size else D


def paper(
    theta: Array,
    steps: Iterable[tuple[Array, Evidence | None]],
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    hessian_power: float,
    interval: int,
) -> Trajectory:
    """Yield theta after each step. `steps`: (gradient, evidence), where evidence is {"probe": z, "product": H z} at
    (t - 1) % interval = 0 and None otherwise."""
    b1, b2 = betas
    m, v, D = (np.zeros(theta.shape) for _ in range(3))
    for t, ((g, evidence), rate) in enumerate(zip(steps, lr), 1):
        due = (t - 1) % interval == 0
        if due == (evidence is None):
            raise ValueError(f"step {t}: evidence on the curvature is {'missing' if due else 'not wanted'}")
        if evidence is not None:
            D = _diagonal(evidence["probe"], evidence["product"])
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * D**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= rate * (mhat / (np.sqrt(vhat) ** hessian_power + eps) + weight_decay * theta)
        yield theta
