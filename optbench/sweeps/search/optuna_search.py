"""Samplers that learn: Optuna's TPE, Gaussian process and CMA-ES over the unit cube, in rounds.

The next points are a function of the seed and the scores so far. A resumed sweep tells the old scores again and gets
the same points. A round has the same length for any number of workers, so the points don't depend on it either."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optbench.sweeps.search.optuna_tools import quietly, require
from optbench.sweeps.search.points import COORDINATES, unit_points
from optbench.sweeps.study.space import Box

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

ROUND = 4  # trials per round, however many workers there are
STARTUP_ROUNDS = 2  # first rounds, of the default sampler's quasi-random points
SIGMA = 1 / 6  # initial step of CMA-ES as a share of the cube, Optuna's default
FLOOR = 4.0  # 2 and 8 do as well to within a factor of two beside outliers; without a floor it is forty times worse
BELOW_ONE = math.nextafter(1.0, 0.0)


class OptunaSearch:
    """A Search that chooses points by the scores of the earlier ones."""

    def __init__(self, sampler: str, box: Box, trials: int, seed: int) -> None:
        optuna = require("optuna", f"--sampler {sampler}")
        self._maker = MAKERS[sampler]
        for package in self._maker.packages:
            require(package, f"--sampler {sampler}")
        self._names = [f"u{i}" for i in range(max(len(box), self._maker.least))]
        self._space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in self._names}
        self._left, self._seed = trials, seed
        startup = min(trials, STARTUP_ROUNDS * ROUND)
        self._startup = unit_points("sobol", max(COORDINATES, len(self._names)), startup, seed)
        self._open: list[Trial] = []  # trials of the current round
        self._held: list[tuple[Trial, float | None]] = []  # trials with scores that Optuna does not have yet
        self._told, self._worst, self._floor = False, math.inf, -math.inf
        with quietly():
            self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))
        self._learner: BaseSampler | None = None

    def ask(self) -> list[Sequence[float]]:
        """Return the next round of points; none when the trials are used up."""
        count = min(ROUND, self._left)
        self._left -= count
        with quietly(), one_thread(self._maker.packages):
            if not self._startup and self._learner is None:
                self._study.sampler = self._learner = self._maker.make(self._seed, self._study.get_trials())
            self._open = [self._next() for _ in range(count)]
        return [[min(trial.params[name], BELOW_ONE) for name in self._names] for trial in self._open]

    def _next(self) -> Trial:
        if self._startup:
            point = self._startup.pop(0)
            self._study.enqueue_trial(dict(zip(self._names, point, strict=False)))
        return self._study.ask(self._space)

    def tell(self, scores: Sequence[float | None]) -> None:
        """Take the scores of the round, larger is better.

        A trial without a score (diverged, failed, pruned) counts as the worst so far, or the sampler would return to
        its neighbourhood. It stays open while no trial has a score."""
        self._held += zip(self._open, scores, strict=True)
        self._open = []
        known = [score for _, score in self._held if score is not None]
        if self._startup or not (known or self._told):
            return
        if not self._told:
            self._floor = self._maker.floor(known)
        self._worst = max(self._floor, min([self._worst, *known]))
        with quietly():
            for trial, score in self._held:
                self._study.tell(trial, self._worst if score is None else max(self._floor, score))
        self._held, self._told = [], True


@contextmanager
def one_thread(packages: Sequence[str]) -> Iterator[None]:
    """Limit torch to one thread if a sampler uses it: sums must not depend on the number of cores."""
    if "torch" not in packages:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def no_floor(scores: Sequence[float]) -> float:
    """Return no floor, for samplers that use ranks."""
    return -math.inf


def spread_floor(scores: Sequence[float]) -> float:
    """Return the lowest score that a sampler which uses distances may see; lower ones are raised to it.

    One loss of 1e6 would hide all differences between losses near 1 from a Gaussian process. The floor lies below the
    best score by FLOOR times its distance from the upper quartile; there is none if that distance is zero."""
    ranked = sorted(scores, reverse=True)
    distance = ranked[0] - ranked[len(ranked) // 4]
    return ranked[0] - FLOOR * distance if distance > 0 else -math.inf


class Tpe:
    """Tree-structured Parzen estimator (Bergstra et al., 2011) of all coordinates together. Points of a round without a
    score yet count as bad ("constant liar"), so that they spread."""

    packages: tuple[str, ...] = ()
    least = 1
    """Least number of coordinates."""
    floor = staticmethod(no_floor)

    @staticmethod
    def make(seed: int, trials: Sequence[FrozenTrial]) -> BaseSampler:
        """Return Optuna's sampler."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=1, multivariate=True, constant_liar=True, seed=seed)


class Gp:
    """Gaussian process with log expected improvement."""

    packages = ("torch", "scipy")
    least = 1
    floor = staticmethod(spread_floor)

    @staticmethod
    def make(seed: int, trials: Sequence[FrozenTrial]) -> BaseSampler:
        """Return Optuna's sampler."""
        from optuna.samplers import GPSampler

        return GPSampler(n_startup_trials=1, seed=seed)


class Cmaes:
    """CMA-ES (Hansen and Ostermeier, 2001), one generation per round, from the best startup point. It needs two
    dimensions; the box of one ignores the second."""

    packages = ("cmaes",)
    least = 2
    floor = staticmethod(no_floor)

    @staticmethod
    def make(seed: int, trials: Sequence[FrozenTrial]) -> BaseSampler:
        """Return Optuna's sampler, at the best of these trials."""
        from optuna.samplers import CmaEsSampler

        scored = [(trial.value, -trial.number, trial) for trial in trials if trial.value is not None]
        start = max(scored)[2].params if scored else None
        return CmaEsSampler(n_startup_trials=1, popsize=ROUND, x0=start, sigma0=SIGMA, seed=seed)


MAKERS: dict[str, type[Tpe] | type[Gp] | type[Cmaes]] = {"tpe": Tpe, "gp": Gp, "cmaes": Cmaes}
