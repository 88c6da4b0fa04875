"""Lookahead: k steps forward, one step back. A modifier of any rule.

Michael R. Zhang, James Lucas, Geoffrey Hinton, Jimmy Ba (2019), "Lookahead Optimizer: k steps forward, 1 step back",
arXiv:1907.08610, Algorithm 1.

    slow_0 = theta_0
    every step:                     the inner rule moves theta (the fast weights)
    after each k-th inner step:     slow <- slow + alpha (theta - slow),  theta <- slow

The slow weights start as the initial weights, as in the paper and the authors' code. timm copies them at the first
synchronisation instead, which therefore does nothing. A synchronisation keeps the inner rule's state (momentum). This
is the authors' default; they also offer to reset or average it.
"""

from optbench.checks.papers import Array, Trajectory


def paper(theta: Array, steps: Trajectory, *, k: int, alpha: float) -> Trajectory:
    """Yield theta after each inner step, including its synchronisation if it ends a cycle."""
    slow = theta.copy()
    for t, _ in enumerate(steps, 1):
        if t % k == 0:
            slow += alpha * (theta - slow)
            theta[...] = slow
        yield theta
