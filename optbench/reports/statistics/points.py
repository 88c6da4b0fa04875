"""Luck of the points: what other points of the same search box would change.

Two optimizers that are equally good at their best may have their optima at different places of their boxes, and the
points of a search lie nearer to the one than to the other. Studies deal their trials to two independent scrambles of
the points. How far apart the halves' best scores are shows how much the points matter; so does how far apart the best
scores of all trials are, since a dense search has several trials near the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

POINTS_DF = 6.0  # of the variance found here; chosen by simulation, as are the two constants below
BEST_OF_HALVES = 0.5  # variance of the best of two halves over that of the best of one: 0.25 to 0.68
NO_GROUP = -1  # of a trial that is at no point: the optimizer's own values, which other points would not change
SPACINGS = 3  # best scores that are compared with the next one


def points_variance(
    scores: Sequence[float | None], groups: Sequence[int], noise: float, seeds: Sequence[int] = ()
) -> float:
    """Return the variance of the tuned mean over other scrambles of the points; 0 unless there are two scrambles.

    `scores`: larger is better. `groups`: the scramble of each trial. `noise`: variance of a run over seeds, which is
    taken out of the scores, since the selection variance has it already. `seeds` behind each score.

    The mean of two answers. By the halves: half the variance between their best scores. By the spacings: around a
    smooth optimum in two dimensions the gaps between the best scores are as large as that from the optimum to the best
    one, whose standard deviation is its mean."""
    known = [
        (score, group, noise / (seeds[index] if seeds else 1))
        for index, (score, group) in enumerate(zip(scores, groups, strict=False))
        if score is not None and group != NO_GROUP
    ]
    best = [max(entry for entry in known if entry[1] == group) for group in sorted({group for _, group, _ in known})]
    if len(best) < 2:
        return 0.0
    mean = sum(score for score, _, _ in best) / len(best)
    own = sum(error for _, _, error in best) / len(best)
    between = sum((score - mean) ** 2 for score, _, _ in best) / (len(best) - 1) - own
    ordered = sorted((score for score, _, _ in known), reverse=True)
    gaps = min(SPACINGS, len(ordered) - 1)
    spacing = ((ordered[0] - ordered[gaps]) / gaps) ** 2 - own / 2
    return (BEST_OF_HALVES * max(0.0, between) + max(0.0, spacing)) / 2


def between_points(places: Sequence[float], scores: Sequence[float | None]) -> float | None:
    """Return how far a parabola through the best score of a grid and its two neighbours rises above it.

    `places`: the coordinate of each score, such as the logarithm of a learning rate; `scores`: larger is better. None
    where the best one is at an end of the grid, or a neighbour has no score. Of several scores at one place the best
    counts. It is the first-order answer to what a
    finer grid would find; with noisy scores it is too large by about half of their noise."""
    at: dict[float, float] = {}
    for place, score in zip(places, scores, strict=True):
        at[place] = max(at.get(place, -math.inf), -math.inf if score is None else score)
    known = sorted(at.items())
    values = [score for _, score in known]
    best = max(range(len(values)), key=values.__getitem__, default=0)
    if not 0 < best < len(values) - 1 or -math.inf in values[best - 1 : best + 2]:
        return None
    (left, _), (middle, _), (right, _) = known[best - 1 : best + 2]
    before, top, after = values[best - 1 : best + 2]
    rising, falling = (top - before) / (middle - left), (top - after) / (right - middle)
    curvature = (rising + falling) / (right - left)  # minus the factor of the square
    if curvature <= 0:
        return 0.0
    slope = (rising * (right - middle) - falling * (middle - left)) / (right - left)  # at the best one
    return slope**2 / (4 * curvature)
