"""Checks of invariances: changes of the problem that must not change the trajectory, or must change it alike.

An optimizer's file names its invariances in `about.invariant`: `scale` of the gradient, `permutation` of elements (rows
and columns for rules that use matrices), `rotation` of rows and columns. They hold without weight decay and with a
negligible eps, so they are checked that way, unless the file maps an invariance to its own settings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optbench.checks.gradient_feeds import GradientFeed, feed_type
from optbench.checks.papers import Array
from optbench.checks.result import Observation, differs, not_applicable, passes
from optbench.checks.subject import Subject

STEPS = 50
SHAPE = (5, 6)  # no null space of more than one dimension, whose basis would be arbitrary
SCALE = 1024.0  # a power of two, so scaling is exact
TOLERANCE = 1e-6  # of the farthest distance from the start
NO_EPS = 1e-40
NOT_PROMISED = not_applicable("its theory does not promise it")


def scale(subject: Subject) -> Observation:
    """Check that gradients a thousand times as large give the same trajectory."""
    if "scale" not in subject.invariances:
        return NOT_PROMISED
    subject = bare(subject, "scale")
    paths: tuple[list[Array], list[Array]] = ([], [])
    for size, path in zip((1.0, SCALE), paths, strict=True):
        feed = feed_type(subject)(subject, SHAPE)
        feed.scale = size
        for _ in range(STEPS):
            feed.advance()
            path.append(feed.values())
    return compare_paths(*paths, f"gradients x{SCALE:g}")


def permutation(subject: Subject) -> Observation:
    """Check that reordered parameters take the same steps in the new order."""
    random = np.random.default_rng(5)
    rows, columns = random.permutation(SHAPE[0]), random.permutation(SHAPE[1])
    return compare_mapped(subject, "permutation", lambda values: np.ascontiguousarray(values[rows][:, columns]))


def rotation(subject: Subject) -> Observation:
    """Check that a rotated problem takes the rotated steps: theta -> U theta V for orthogonal U and V."""
    random = np.random.default_rng(6)
    left, right = (np.linalg.qr(random.standard_normal((side, side)))[0] for side in SHAPE)
    return compare_mapped(subject, "rotation", lambda values: left @ values @ right)


def compare_mapped(subject: Subject, name: str, change: Callable[[Array], Array]) -> Observation:
    """Compare the trajectory of the changed problem with the changed trajectory."""
    if name not in subject.invariances:
        return NOT_PROMISED
    subject = bare(subject, name)
    plain, other = (GradientFeed(subject, SHAPE) for _ in range(2))
    other.theta.data.copy_(other.theta.data.new_tensor(change(other.start)))
    paths: tuple[list[Array], list[Array]] = ([], [])
    for _ in range(STEPS):
        gradient = plain.next_gradient()
        plain.advance(gradient)
        other.advance(change(gradient))
        paths[0].append(change(plain.values()))
        paths[1].append(other.values())
    return compare_paths(*paths, name)


def bare(subject: Subject, name: str) -> Subject:
    """Return a copy without modifiers, weight decay and eps, at the file's settings for this invariance."""
    plain = {"weight_decay": 0.0, "eps": NO_EPS, "adam_eps": NO_EPS}
    return subject.without_modifiers().with_settings(**{**plain, **subject.invariances[name]})


def compare_paths(expected: list[Array], found: list[Array], name: str) -> Observation:
    """Compare two trajectories."""
    reach = max(float(np.abs(values - expected[0]).max()) for values in expected) or 1.0
    distances = np.array([np.abs(a - b).max() / reach for a, b in zip(expected, found, strict=True)])
    beyond = np.flatnonzero(~(distances <= TOLERANCE))
    if len(beyond):
        return differs(f"{name}: step {beyond[0] + 1} of {STEPS} differs, by up to {distances.max():.2g}")
    return passes(f"{name}: equal to {distances.max():.1e}")
