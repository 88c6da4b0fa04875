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
    in the same unit. `sd` of one run over seeds, taken as the score's noise too.

    A weighted mean of two answers: how much two further selections would differ from each other, and how much one would
    differ from the winner as its fresh seeds measured it. The second one notices a winner with a lucky score."""
    import numpy as np

    known = [(index, score) for index, score in enumerate(scores) if score is not None]
    if len(known) < 2 or sd == 0:
        return 0.0
    place = [index for index, _ in known].index(winner)
    values = np.array([score for _, score in known])
    rows, offset = np.arange(DRAWS), np.arange(len(values))
    grid, cost_distribution = plausible_means(values, sd)
    ladder = (np.minimum(cost_distribution.cumsum(1), 1.0) + offset[:, None]).ravel()  # all distributions in one
    first, noise, other_noise, second, of_final, again = chance(len(values))

    def means(uniform: np.ndarray) -> np.ndarray:
        index = np.searchsorted(ladder, uniform + offset) - GRID * offset
        return grid[np.clip(index, 0, GRID - 1)]

    true = means(first)
    one, other = (true + sd * noise).argmax(1), (true + sd * other_noise).argmax(1)
    between = ((true[rows, one] - true[rows, other]) ** 2).mean() / 2
    true = means(second)
    true[:, place] = final_mean + sd / finals**0.5 * of_final
    from_winner = ((true[rows, (true + sd * again).argmax(1)] - true[:, place]) ** 2).mean() / 2
    return float((1 - WINNER_WEIGHT) * between + WINNER_WEIGHT * from_winner)


@lru_cache(maxsize=4)
def chance(trials: int) -> tuple[np.ndarray, ...]:
    """Return the random numbers for so many trials, the same each time.

    Uniform, normal, normal, uniform (DRAWS, trials), normal (DRAWS,), normal (DRAWS, trials)."""
    import numpy as np

    random, shape = np.random.default_rng(SEED), (DRAWS, trials)
    uniform, normal = random.random, random.standard_normal
    return uniform(shape), normal(shape), normal(shape), uniform(shape), normal(DRAWS), normal(shape)


def plausible_means(values: np.ndarray, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of true means (GRID,) and the posterior of each trial (trials, GRID), for scores with normal noise
    `sd`."""
    import numpy as np

    grid = np.linspace(values.min(), values.max(), GRID)
    likelihood = np.exp(-0.5 * ((values[:, None] - grid) / sd) ** 2) + np.finfo(float).tiny
    weights = np.full(GRID, 1 / GRID)
    posterior = likelihood
    for _ in range(ROUNDS):
        posterior = likelihood * weights
        posterior /= posterior.sum(1, keepdims=True)
        weights = posterior.mean(0)
    posterior = likelihood * ((1 - FLAT_WEIGHT) * weights + FLAT_WEIGHT / GRID)
    return grid, posterior / posterior.sum(1, keepdims=True)
