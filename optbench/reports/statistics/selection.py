"""Selection variance: what tuning adds to the uncertainty of a comparison.

The winner of a search is chosen by noisy scores: another search at the same points with other seeds might pick another
trial, with another mean. Two copies of one optimizer therefore differ by more than the noise of their final seeds, and
a test that knows only the final seeds calls one of them better far too often (`optbench bench verdicts` measures how
often). This module estimates the missing variance.

Single scores make trials look more different than they are, most of all where all are alike. So true means are drawn
from a distribution that the scores leave plausible: the nonparametric maximum-likelihood estimate on a grid (Kiefer and
Wolfowitz, 1956), by expectation maximisation, and each trial's posterior under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DRAWS, SEED = 1000, 0
GRID, ROUNDS = 81, 40
FLAT_WEIGHT = 0.3  # of a flat distribution beside the estimated one, which is too sharp for few trials
WINNER_WEIGHT = 0.8  # of the second answer; chosen by simulation on surfaces from flat to steep
SELECTION_DF = 6.0  # degrees of df of the variance found here: it rests on the few trials that could have won


def selection_variance(
    scores: Sequence[float | None],
    winner: int,
    final_mean: float,
    finals: int,
    sd: float,
    seeds: Sequence[int] = (),
) -> float:
    """Return the variance of the winner's true mean over repeated searches at the same points, in squared score units.

    `scores` of the trials, larger is better, None: failed. `final_mean` of the winner's `finals` runs on fresh seeds,
    in the same unit. `sd` of one run over seeds, taken as a score's noise too. `seeds` behind each score, one each if
    empty; if some have more than the others, they were the best few by their first seeds (the shortlist).

    A weighted mean of two answers: how much two further selections would differ from each other, and how much one would
    differ from the winner as its fresh seeds measured it. The second one notices a winner with a lucky score."""
    import numpy as np

    known = [(index, score) for index, score in enumerate(scores) if score is not None]
    if len(known) < 2 or sd == 0:
        return 0.0
    place = [index for index, _ in known].index(winner)
    values = np.array([score for _, score in known])
    counts = np.array([seeds[index] if seeds else 1 for index, _ in known])
    rows, columns = np.arange(DRAWS), np.arange(len(values))
    plausible, random = plausible_means(values, sd / counts**0.5), chance(len(values))
    true = plausible[random.order[0], columns]
    one, other = (chosen(true, noise, sd, counts) for noise in random.noise[:2])
    between = ((true[rows, one] - true[rows, other]) ** 2).mean() / 2
    true = plausible[random.order[1], columns]
    true[:, place] = final_mean + sd / finals**0.5 * random.of_final
    again = chosen(true, random.noise[2], sd, counts)
    from_winner = ((true[rows, again] - true[:, place]) ** 2).mean() / 2
    return float((1 - WINNER_WEIGHT) * between + WINNER_WEIGHT * from_winner)


def chosen(true: np.ndarray, noise: np.ndarray, sd: float, counts: np.ndarray) -> np.ndarray:
    """Return the winners (DRAWS,) of searches with these true means (DRAWS, trials): the best score, of the shortlist
    if there is one.

    `noise`: standard normal numbers (2, DRAWS, trials), of the first score and of the further seeds."""
    import numpy as np

    least, most = int(counts.min()), int(counts.max())
    scores = true + sd / least**0.5 * noise[0]
    if least == most:
        return scores.argmax(1)
    shortlist = int((counts > least).sum())
    best = np.argpartition(scores, -shortlist, axis=1)[:, -shortlist:]
    further = true + sd / (most - least) ** 0.5 * noise[1]
    joint = np.take_along_axis(least * scores + (most - least) * further, best, axis=1)
    return np.take_along_axis(best, joint.argmax(1)[:, None], axis=1)[:, 0]


@dataclass(frozen=True)
class Chances:
    """Random numbers for so many trials."""

    order: np.ndarray
    """Permutations of the draws (2, DRAWS, trials)."""
    noise: np.ndarray
    """Normal (3, 2, DRAWS, trials)."""
    of_final: np.ndarray
    """Normal (DRAWS,)."""


@lru_cache(maxsize=4)
def chance(trials: int) -> Chances:
    """Return the random numbers for so many trials, the same each time."""
    import numpy as np

    random, shape = np.random.default_rng(SEED), (DRAWS, trials)
    order = random.permuted(np.broadcast_to(np.arange(DRAWS)[:, None], (2, *shape)), axis=1)
    return Chances(order, random.standard_normal((3, 2, *shape)), random.standard_normal(DRAWS))


def plausible_means(values: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return evenly spaced quantiles of each trial's true mean (DRAWS, trials), for scores with normal noise `sd`
    each."""
    import numpy as np

    grid = np.linspace(values.min(), values.max(), GRID)
    likelihood = np.exp(-0.5 * ((values[:, None] - grid) / sd[:, None]) ** 2) + np.finfo(float).tiny
    weights = np.full(GRID, 1 / GRID)
    for _ in range(ROUNDS):
        posterior = likelihood * weights
        weights = (posterior / posterior.sum(1, keepdims=True)).mean(0)
    posterior = likelihood * ((1 - FLAT_WEIGHT) * weights + FLAT_WEIGHT / GRID)
    shares = np.minimum((posterior / posterior.sum(1, keepdims=True)).cumsum(1), 1.0)
    offset = np.arange(len(values))[:, None]  # lines the distributions up, so that one search serves all
    levels = (np.arange(DRAWS) + 0.5) / DRAWS + offset
    index = np.searchsorted((shares + offset).ravel(), levels.ravel()).reshape(levels.shape) - GRID * offset
    return grid[np.clip(index, 0, GRID - 1)].T
