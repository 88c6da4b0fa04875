"""Stochastic gradient descent.

Herbert Robbins and Sutton Monro (1951), "A Stochastic Approximation Method", Annals of Mathematical Statistics 22(3).

    theta <- theta - lr (g + wd theta)

The paper has no weight decay; it is L2 here, added to the gradient. No state.
"""

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    for g, rate in zip(steps, lr):
        theta -= rate * (g + weight_decay * theta)
        yield theta
