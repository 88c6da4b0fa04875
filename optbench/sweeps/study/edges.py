"""Undertuned winners: those on an edge of the search box towards which the score still rises.

With few trials many winners lie near an edge by chance. An edge counts only if every trial off it is clearly worse than
the winner: by more than the noise of the two scores explains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from optbench.sweeps.study.shortlist import Scored
from optbench.sweeps.study.space import Box

LEAST, MOST = 0.05, 0.125  # share of an interval that counts as its edge
CONFIDENCE = 0.95  # one-sided, that the winner is better than the best trial off the edge


@dataclass(frozen=True)
class ScoreNoise:
    """The standard deviation of one run's score over seeds, with its degrees of freedom; of none, it is zero."""

    sd: float = 0.0
    freedom: int = 0

    def margin(self, a: Scored, b: Scored) -> float:
        """Return the difference of two scores that noise alone exceeds in 5 % of cases."""
        if not self.sd:
            return 0.0
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, CONFIDENCE)) * self.sd * math.sqrt(1 / a.seeds + 1 / b.seeds)


def score_noise(scores: Iterable[Sequence[float]]) -> ScoreNoise:
    """Return the noise pooled over groups of runs that differ only by seed."""
    squares, freedom = 0.0, 0
    for group in scores:
        if len(group) > 1:
            mean = sum(group) / len(group)
            squares += sum((score - mean) ** 2 for score in group)
            freedom += len(group) - 1
    return ScoreNoise(math.sqrt(squares / freedom), freedom) if freedom else ScoreNoise()


def edge_share(trials: int) -> float:
    """Return the outermost share of an interval that is its edge: 1 / trials within limits, and the last grid point."""
    return max(min(max(1 / trials, LEAST), MOST), 0.5 / trials + 1e-3)


def rising_edges(
    box: Box, winner: Scored, trials: Iterable[Scored], planned: int, noise: ScoreNoise
) -> list[tuple[str, str]]:
    """Return (key, side) of every edge of the box that the winner lies on and the score still rises towards.

    `planned`: the trials of the study. With noise that is not known, any rise counts; so does an edge off which no
    trial succeeded."""
    share, known = edge_share(planned), [trial for trial in trials if trial.score is not None]

    def rises(edge: tuple[str, str]) -> bool:
        inside = [trial for trial in known if edge not in box.edges(trial.values, share)]
        if not inside:
            return True
        best = max(inside, key=lambda trial: trial.score or 0.0)
        return (winner.score or 0.0) - (best.score or 0.0) > noise.margin(winner, best)

    return [edge for edge in box.edges(winner.values, share) if rises(edge)]
