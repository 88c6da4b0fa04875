"""AdaHessian: Adam whose second moment is that of the Hessian's diagonal.

Zhewei Yao, Amir Gholami, Sheng Shen, Mustafa Mustafa, Kurt Keutzer, Michael W. Mahoney (2021), "ADAHESSIAN: An Adaptive
Second Order Optimizer for Machine Learning", arXiv:2006.00719, Algorithm 1, with the blocks of the authors' code.

    at (t - 1) % interval = 0:  D = |z (H z)| averaged over its block, z a Rademacher probe; else D stays
    m_t = b1 m_{t-1} + (1 - b1) g_t                             m_0 = 0
    v_t = b2 v_{t-1} + (1 - b2) D^2                             v_0 = 0, in every step, also with a kept D
    mhat = m_t / (1 - b1^t),  vhat = v_t / (1 - b2^t)
    theta <- theta - lr (mhat / (sqrt(vhat)^k + eps) + wd theta)        k = hessian_power

Blocks of the spatial average: the last two dimensions of a 4-D tensor (a filter of a convolution), the last one of 2-D
and 3-D, none below. The absolute value is taken before the average (the authors' code; the paper averages z (H z)
itself). Their code knows no interval; a kept D enters v again in every step, as in davda54/ada-hessian (where
pytorch-optimizer leaves v alone but corrects its bias all the same). Weight decay is decoupled, from the theta before
the step.
"""

import numpy as np

AXES = {4: (2, 3), 3: (2,), 2: (1,)}  # by ndim


def _diagonal(probe, product):
    D = np.abs(probe * product)
    axes = AXES.get(D.ndim, ())
    return D.mean(axis=axes, keepdims=True) if axes and D.size else D


def paper(theta, steps, *, lr, betas, eps, weight_decay, hessian_power, interval):
    """Yields theta, changed in place, after each step. steps: iterable of (gradient, evidence); evidence is
    {"probe": z, "product": H z} at (t - 1) % interval = 0 and None at all others."""
    b1, b2 = betas
    m, v, D = np.zeros(theta.shape), np.zeros(theta.shape), None
    for t, (g, evidence) in enumerate(steps, 1):
        due = (t - 1) % interval == 0
        if due == (evidence is None):
            raise ValueError(f"step {t}: evidence on the curvature is {'missing' if due else 'not wanted'}")
        if due:
            D = _diagonal(evidence["probe"], evidence["product"])
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * D**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= lr * (mhat / (np.sqrt(vhat) ** hessian_power + eps) + weight_decay * theta)
        yield theta
