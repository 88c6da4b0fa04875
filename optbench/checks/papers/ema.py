"""Exponential moving average of the weights. A modifier of any rule.

Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna (2016), "Rethinking the Inception
Architecture for Computer Vision", arXiv:1512.00567, section 8, evaluates such an average.

    abar_0 = theta_0
    every step:     the inner rule moves theta,  abar <- d abar + (1 - d) theta
    d = decay, with warm-up never more than (1 + t) / (10 + t) after t steps (TensorFlow's ExponentialMovingAverage)

The trained weights do not depend on the average, so `paper` leaves the inner rule as it is; `averages` gives the
weights to evaluate.
"""

from optbench.checks.papers import Array, Trajectory


def paper(theta: Array, steps: Trajectory, *, decay: float, warmup: bool) -> Trajectory:
    """Yield theta after each inner step, unchanged."""
    yield from steps


def averages(theta: Array, steps: Trajectory, *, decay: float, warmup: bool) -> Trajectory:
    """Yield the weights to evaluate after each inner step, as a new array."""
    mean = theta.copy()
    for t, now in enumerate(steps, 1):
        d = decay
        if warmup:
            d = min(d, (1 + t) / (10 + t))
        mean = d * mean + (1 - d) * now
        yield mean
