"""The search of a box: an ask-and-tell loop over points of the unit cube."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from optbench.errors import ConfigError
from optbench.sweeps.search.points import COORDINATES, grid, scrambled_points
from optbench.sweeps.study.space import Box

LEARNING = ("tpe", "gp", "cmaes")
SEQUENCES = ("sobol", "halton", "random")
AUTO, GRID = "auto", "grid"
SAMPLERS = (AUTO, *SEQUENCES, GRID, *LEARNING)


class Search(Protocol):
    """A search of a box, in rounds."""

    def ask(self) -> list[Sequence[float]]:
        """Return the next points of the unit cube; none when the trials are used up."""
        ...

    def tell(self, scores: Sequence[float | None]) -> None:
        """Take the scores of those points, larger is better; None for a trial without one."""


class FixedPoints:
    """A Search of one round, over points that are known in advance."""

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        self._points = list(points)

    def ask(self) -> list[Sequence[float]]:
        """Return all points, once."""
        points, self._points = self._points, []
        return points

    def tell(self, scores: Sequence[float | None]) -> None:
        """Ignore the scores."""


def sampler_for(sampler: str, box: Box) -> str:
    """Return the sampler of a box: `auto` is a grid for one interval, and Sobol points for all else."""
    if sampler != AUTO:
        return sampler
    return GRID if len(box) == 1 and not box.dimensions[0].values else "sobol"


def make_search(sampler: str, box: Box, trials: int, seed: int, first: int = 0, scrambles: int = 1) -> Search:
    """Return the search of a box, from the sampler's point number `first` on. Raises ConfigError for an unknown one."""
    sampler = sampler_for(sampler, box)
    if sampler in LEARNING:
        from optbench.sweeps.search.optuna_search import OptunaSearch

        return OptunaSearch(sampler, box, trials, seed + first)
    if sampler == GRID:
        return FixedPoints(grid(box, trials))
    if sampler not in SEQUENCES:
        raise ConfigError(f"--sampler {sampler}: unknown sampler", f"Known: {', '.join(SAMPLERS)}")
    points = scrambled_points(sampler, max(COORDINATES, len(box)), first + trials, seed, scrambles)
    return FixedPoints(points[first:])
