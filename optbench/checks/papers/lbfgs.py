"""L-BFGS with a fixed step, as torch.optim.LBFGS runs it without a line search.

Jorge Nocedal (1980), "Updating Quasi-Newton Matrices with Limited Storage", Mathematics of Computation 35(151), 773-782
(the two-loop recursion); Dong C. Liu, Jorge Nocedal (1989), "On the limited memory BFGS method for large scale
optimization", Mathematical Programming 45, 503-528 (the scaling of the first Hessian).

One step, on one batch (one closure), is up to max_iter inner iterations. With g the gradient:

    no iteration at all if max|g| <= tolerance_grad
    first iteration ever:  d = -g,  t = lr min(1, 1 / ||g||_1)
    else:  y = g - g_old,  s = t d (of the iteration before);  if y.s > 1e-10: keep (y, s), at most history_size pairs,
           and set H = y.s / y.y (1 before the first pair)
           d = -(two-loop recursion of g, started with H),  t = lr
    stop if g.d > -tolerance_change (theta stays)
    theta <- theta + t d
    stop after max_iter iterations or max_iter * 5 // 4 evaluations
    evaluate loss and g again, unless this was the last iteration of the step
    stop if max|g| <= tolerance_grad, or max|t d| <= tolerance_change, or |loss - loss before| < tolerance_change

d, t, g_old, the pairs and H are kept between steps: the first y of a step is the difference of the gradients of two
batches, at parameters one move apart, and s is that move. The papers use a Wolfe line search, which guarantees y.s > 0;
with a fixed step, pairs with y.s too small are left out. The limit on evaluations is torch's default max_eval. It
removes an iteration only for max_iter 2 and 3.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from optbench.checks.papers import Array, Function, Rates, Trajectory


@dataclass
class Memory:
    """State kept between steps. old: the previous gradient; pairs: (y, s), newest last; H: the scale of the Hessian."""

    d: Array | None = None
    t: float = 0.0
    old: Array | None = None
    pairs: list[tuple[Array, Array]] = field(default_factory=list)
    H: float | Array = 1.0


def _two_loop(g: Array, pairs: list[tuple[Array, Array]], H: float | Array) -> Array:
    """Return the inverse Hessian of the pairs times g."""
    q, alphas = g.copy(), []
    for y, s in reversed(pairs):
        alphas.append(s @ q / (y @ s))
        q -= alphas[-1] * y
    r = H * q
    for (y, s), alpha in zip(pairs, reversed(alphas), strict=True):
        r += (alpha - y @ r / (y @ s)) * s
    return r


def _next_move(memory: Memory, g: Array, lr: float, history_size: int) -> Array:
    """Update the pairs from the last move; set and return the next direction."""
    if memory.d is None or memory.old is None:
        memory.d, memory.t = -g, min(1.0, 1.0 / np.abs(g).sum()) * lr
    else:
        y, s = g - memory.old, memory.t * memory.d
        if y @ s > 1e-10:
            memory.pairs = [*memory.pairs, (y, s)][-history_size:]
            memory.H = y @ s / (y @ y)
        memory.d, memory.t = -_two_loop(g, memory.pairs, memory.H), lr
    memory.old = g
    return memory.d


def _evaluate(gradient: Function, theta: Array) -> tuple[float, Array]:
    loss, g = gradient(theta)
    return loss, np.array(g, dtype=np.float64).reshape(-1)


def _step(
    theta: Array,
    gradient: Function,
    memory: Memory,
    lr: float,
    max_iter: int,
    history_size: int,
    tolerance_grad: float,
    tolerance_change: float,
) -> None:
    """Take one step: up to max_iter iterations on one batch."""
    loss, g = _evaluate(gradient, theta)
    if np.abs(g).max() <= tolerance_grad:
        return
    for n in range(1, max_iter + 1):
        d = _next_move(memory, g, lr, history_size)
        if g @ d > -tolerance_change:
            return
        move = memory.t * d
        theta += move.reshape(theta.shape)
        if n == max_iter:
            return
        before = loss
        loss, g = _evaluate(gradient, theta)
        if n + 1 >= max_iter * 5 // 4 or np.abs(g).max() <= tolerance_grad:
            return
        if np.abs(move).max() <= tolerance_change or abs(loss - before) < tolerance_change:
            return


def paper(
    theta: Array,
    steps: Iterable[Function],
    *,
    lr: Rates,
    max_iter: int,
    history_size: int,
    tolerance_grad: float,
    tolerance_change: float,
) -> Trajectory:
    """Yield theta after each step. `steps`: one function per batch."""
    memory = Memory()
    for gradient, rate in zip(steps, lr):
        if theta.size:
            _step(theta, gradient, memory, rate, max_iter, history_size, tolerance_grad, tolerance_change)
        yield theta
