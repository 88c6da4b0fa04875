"""Lookahead: k steps forward, one step back. A modifier of any rule.

Michael R. Zhang, James Lucas, Geoffrey Hinton, Jimmy Ba (2019), "Lookahead Optimizer: k steps forward, 1 step back",
arXiv:1907.08610, Algorithm 1.

    slow_0 = theta_0
    every step:                     the inner rule moves theta (the fast weights)
    after each k-th inner step:     slow <- slow + alpha (theta - slow),  theta <- slow

The slow weights are those of the start, as in the paper and the authors' code. timm copies them at the first
synchronisation instead, which makes that one do nothing. The inner rule's state (momentum) is kept over a
synchronisation: the authors' default; they also offer to reset it or to average it.
"""


def paper(theta, steps, *, k, alpha):
    """Yields theta, changed in place, after each inner step. steps: the generator of an inner rule's paper over the
    same theta; a step that ends a cycle is yielded after its synchronisation."""
    slow = theta.copy()
    for t, _ in enumerate(steps, 1):
        if t % k == 0:
            slow += alpha * (theta - slow)
            theta[...] = slow
        yield theta
