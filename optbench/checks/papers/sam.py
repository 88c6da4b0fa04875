"""SAM over momentum SGD: the gradient is taken at the worst point nearby.

Pierre Foret, Ariel Kleiner, Hossein Mobahi, Behnam Neyshabur (2021), "Sharpness-Aware Minimization for Efficiently
Improving Generalization", arXiv:2010.01412, Algorithm 1 with p = 2; base rule: SGD with momentum in torch's form.

    g = grad L(theta),  e = rho g / (||g|| + 1e-12)
    g' = grad L(theta + e) + wd theta           decay of the unperturbed theta, not included in e
    b_1 = g',  b_t = momentum b_{t-1} + g'      no dampening
    theta <- theta - lr b_t

The norm is over all parameters of the optimizer; here that is one tensor. The paper has no 1e-12; widely used code
does. Each step evaluates the same batch twice.
"""

from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Function, Rates, Trajectory


def paper(
    theta: Array, steps: Iterable[Function], *, rho: float, lr: Rates, momentum: float, weight_decay: float
) -> Trajectory:
    """Yield theta after each step. `steps`: one function per batch."""
    b = None
    for gradient, rate in zip(steps, lr):
        _, g = gradient(theta)
        e = rho * g / (np.linalg.norm(g) + 1e-12)
        _, g = gradient(np.asarray(theta + e))
        g = g + weight_decay * theta
        b = g if b is None else momentum * b + g
        theta -= rate * b
        yield theta
