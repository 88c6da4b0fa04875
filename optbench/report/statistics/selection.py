"""What tuning adds to the uncertainty of a comparison.

The winner of a search is chosen by noisy scores: searched again at the same points with other seeds, another trial
might have won, and its mean would be another. Two copies of one optimizer therefore differ by more than the noise of
their final seeds, and a test that knows the final seeds alone calls one of them better far too often
(`optbench bench verdicts` shows how often). This is the variance that has to be added.
"""

from __future__ import annotations

from collections.abc import Sequence

DRAWS, SEED = 1000, 0


def selection_variance(scores: Sequence[float | None], winner: int, final_mean: float, finals: int, sd: float) -> float:
    """Variance of the winner's true mean over searches again at the same points, in squared units of the score.

    `scores` of the trials, larger is better, None where a trial failed; `final_mean` of the winner's `finals` runs on
    fresh seeds, in the same unit; `sd` of one run over seeds, which is taken to be the score's noise too.

    The mean of two answers to that: how much two more selections would differ from each other, the true means being
    normal about the scores; and how much one more selection would differ from the winner as its fresh seeds have
    measured it, which sees a winner that owes its score to luck. The first alone is too small where noise has heavy
    tails, the second alone too large where many trials are alike."""
    import numpy as np

    known = [(index, score) for index, score in enumerate(scores) if score is not None]
    if len(known) < 2 or sd == 0:
        return 0.0
    place = [index for index, _ in known].index(winner)
    values = np.array([score for _, score in known])
    random = np.random.default_rng(SEED)
    shape = (DRAWS, len(values))

    def noise() -> np.ndarray:
        return sd * random.standard_normal(shape)

    rows = np.arange(DRAWS)
    means = values + noise()
    one, other = (means + noise()).argmax(1), (means + noise()).argmax(1)
    between = ((means[rows, one] - means[rows, other]) ** 2).mean() / 2
    means = values + noise()
    means[:, place] = final_mean + sd / finals**0.5 * random.standard_normal(DRAWS)
    again = (means + noise()).argmax(1)
    from_winner = ((means[rows, again] - means[:, place]) ** 2).mean() / 2
    return float(between + from_winner) / 2
