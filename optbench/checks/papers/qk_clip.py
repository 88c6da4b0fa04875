"""QK-Clip: queries and keys of a head shrink when its largest logit exceeds tau. A modifier of any rule.

Kimi Team (2025), "Kimi K2: Open Agentic Intelligence", arXiv:2507.20534, section 2.1, Algorithm 1.

    S^h   = max over X in the batch, i, j of q_i^h . k_j^h / sqrt(d)        of the weights before the step
    gamma = min(1, tau / S^h)
    W_q^h <- gamma^(1/2) W_q^h,    W_k^h <- gamma^(1/2) W_k^h               after the inner rule's step

`paper` leaves the inner rule as it is, for a tensor alone is no head of an attention; `clipped` is the rule for one.
"""

import numpy as np

from optbench.checks.papers import Array, Trajectory


def paper(theta: Array, steps: Trajectory, *, tau: float) -> Trajectory:
    """Yield theta after each inner step, unchanged."""
    yield from steps


def largest_logit(query: Array, key: Array, inputs: Array, seen: Array, scale: float) -> float:
    """Return S of one head: weights (d, n), inputs (B, N, n), `seen` (N, N) true where a query sees a key."""
    largest = -np.inf
    for x in inputs:
        logits = scale * (x @ query.T) @ (x @ key.T).T
        largest = max(largest, logits[seen].max())
    return largest


def clipped(query: Array, key: Array, largest: float, *, tau: float) -> tuple[Array, Array]:
    """Return a head's weights after the inner rule's step, scaled."""
    gamma = min(1.0, tau / largest) if largest > 0 else 1.0
    return gamma**0.5 * query, gamma**0.5 * key
