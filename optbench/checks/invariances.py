"""What the theory says must not change a trajectory, or only along with its start.

An optimizer's file names its invariances in `about.invariant`: `scale` of the gradient, `permutation` of elements (of
rows and columns for rules that see a matrix), `rotation` of rows and columns. They hold without weight decay and with
eps out of the way, so that is how they are checked, unless the file maps an invariance to settings of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optbench.checks.gradient_feeds import GradientFeed, feed_of
from optbench.checks.result import differs, not_applicable, passes
from optbench.checks.subject import Subject

STEPS = 50
SHAPE = (5, 6)  # no null space of more than one dimension, whose basis would be anybody's
SCALE = 1024.0  # a power of two: scaling rounds nothing
TOLERANCE = 1e-6  # of the farthest distance from the start
NO_EPS = 1e-40
Outcome = tuple[str, str]
Map = Callable[[np.ndarray], np.ndarray]


def scale(subject: Subject) -> Outcome:
    """The same trajectory at gradients a thousand times as large."""
    if "scale" not in subject.invariances:
        return not_applicable("its theory does not promise it")
    subject = bare(subject, "scale")
    paths = []
    for size in (1.0, SCALE):
        feed = feed_of(subject)(subject, SHAPE)
        feed.scale = size
        paths.append([feed.values() for _ in range(STEPS) if feed.advance() is None])
    return verdict(*paths, f"gradients x{SCALE:g}")


def permutation(subject: Subject) -> Outcome:
    """Parameters in another order take the same steps in that order."""
    random = np.random.default_rng(5)
    rows, columns = random.permutation(SHAPE[0]), random.permutation(SHAPE[1])
    return mapped(subject, "permutation", lambda values: np.ascontiguousarray(values[rows][:, columns]))


def rotation(subject: Subject) -> Outcome:
    """A rotated problem takes the rotated steps: theta -> U theta V for orthogonal U and V."""
    random = np.random.default_rng(6)
    left, right = (np.linalg.qr(random.standard_normal((side, side)))[0] for side in SHAPE)
    return mapped(subject, "rotation", lambda values: left @ values @ right)


def mapped(subject: Subject, name: str, change: Map) -> Outcome:
    """The trajectory of the changed problem against the changed trajectory."""
    if name not in subject.invariances:
        return not_applicable("its theory does not promise it")
    subject = bare(subject, name)
    plain, other = (GradientFeed(subject, SHAPE) for _ in range(2))
    other.theta.data.copy_(other.theta.data.new_tensor(change(other.start)))
    paths: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for _ in range(STEPS):
        gradient = plain.gradient()
        plain.advance(gradient)
        other.advance(change(gradient))
        paths[0].append(change(plain.values()))
        paths[1].append(other.values())
    return verdict(*paths, name)


def bare(subject: Subject, name: str) -> Subject:
    """Without modifiers, weight decay and eps, at the settings that the file gives for this invariance."""
    plain = {"weight_decay": 0.0, "eps": NO_EPS, "adam_eps": NO_EPS}
    return subject.without_modifiers().having(**{**plain, **subject.invariances[name]})


def verdict(expected: list[np.ndarray], found: list[np.ndarray], what: str) -> Outcome:
    """Whether two trajectories are one."""
    reach = max(float(np.abs(values - expected[0]).max()) for values in expected) or 1.0
    apart = np.array([np.abs(a - b).max() / reach for a, b in zip(expected, found, strict=True)])
    off = np.flatnonzero(~(apart <= TOLERANCE))
    if len(off):
        return differs(f"{what}: step {off[0] + 1} of {STEPS} differs, at most by {apart.max():.2g}")
    return passes(f"{what}: equal to {apart.max():.1e}")
