"""Stochastic gradient descent.

Herbert Robbins and Sutton Monro (1951), "A Stochastic Approximation Method", Annals of Mathematical Statistics 22(3).

    theta <- theta - lr (g + wd theta)

The paper has no weight decay; it is L2 here, added to the gradient. No state.
"""


def paper(theta, steps, *, lr, weight_decay):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    for g in steps:
        theta -= lr * (g + weight_decay * theta)
        yield theta
