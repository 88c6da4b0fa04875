"""Samplers that learn: Optuna's TPE, Gaussian process and CMA-ES over the unit cube, in rounds.

What is asked next is a function of the seed and the scores told so far. A sweep that goes on therefore tells the old
scores again and stands where it stood, and since a round is as long for one worker as for eight, so are its points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optbench.sweeps.search.optuna_tools import needed, quietly
from optbench.sweeps.search.points import COORDINATES, ROUND, unit_points
from optbench.sweeps.study.space import Box

STARTUP_ROUNDS = 2  # of quasi-random points, those of the default sampler: a learner needs something to learn from
SIGMA = 1 / 6  # of the cube, as Optuna begins
FLOOR = 4.0  # 2 and 8 find bowls beside outliers to within a factor of two as well; without a floor it is over forty
BELOW_ONE = math.nextafter(1.0, 0.0)


class Learning:
    """A Search that proposes points by the scores of those before."""

    def __init__(self, sampler: str, box: Box, trials: int, seed: int) -> None:
        optuna = needed("optuna", f"--sampler {sampler}")
        self._maker = MAKERS[sampler]
        for package in self._maker.packages:
            needed(package, f"--sampler {sampler}")
        self._names = [f"u{i}" for i in range(max(len(box), self._maker.least))]
        self._space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in self._names}
        self._left, self._seed = trials, seed
        startup = min(trials, STARTUP_ROUNDS * ROUND)
        self._startup = unit_points("sobol", max(COORDINATES, len(self._names)), startup, seed)
        self._open: list[Any] = []  # trials of the round that was asked for
        self._held: list[tuple[Any, float | None]] = []  # trials with their scores that are not told yet
        self._told, self._worst, self._floor = False, math.inf, -math.inf
        with quietly():
            self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))
        self._learner: Any = None

    def ask(self) -> list[Sequence[float]]:
        """The next round of points; none when the trials are used up."""
        count = min(ROUND, self._left)
        self._left -= count
        with quietly(), one_thread(self._maker.packages):
            if not self._startup and self._learner is None:
                self._study.sampler = self._learner = self._maker.make(self._seed, self._study.get_trials())
            self._open = [self._next() for _ in range(count)]
        return [[min(trial.params[name], BELOW_ONE) for name in self._names] for trial in self._open]

    def _next(self) -> Any:
        if self._startup:
            point = self._startup.pop(0)
            self._study.enqueue_trial(dict(zip(self._names, point, strict=False)))
        return self._study.ask(self._space)

    def tell(self, scores: Sequence[float | None]) -> None:
        """The scores of the round, larger is better.

        A trial without a score (diverged, failed, pruned) is told as the worst one so far: a sampler that heard nothing
        would come back to its neighbourhood. As long as no trial has a score it stays open."""
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
    """Torch on one thread, where it computes: a sum must not depend on how many cores a machine has."""
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
    """For samplers that go by ranks: scores as they are."""
    return -math.inf


def spread_floor(scores: Sequence[float]) -> float:
    """For samplers that go by distances: scores below this are told as this. One loss of 1e6 among losses of about 1
    would leave a Gaussian process of unit variance nothing to see among those. From the best down by FLOOR times the
    way to the upper quartile; none where that has no length."""
    ranked = sorted(scores, reverse=True)
    way = ranked[0] - ranked[len(ranked) // 4]
    return ranked[0] - FLOOR * way if way > 0 else -math.inf


class Tpe:
    """Tree-structured Parzen estimator (Bergstra et al., 2011), of all coordinates together, with the points of a round
    that have no score yet taken as bad ones ("constant liar"), so that they spread."""

    packages: tuple[str, ...] = ()
    least = 1
    """Coordinates at least."""
    floor = staticmethod(no_floor)

    @staticmethod
    def make(seed: int, trials: Sequence[Any]) -> Any:
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=1, multivariate=True, constant_liar=True, seed=seed)


class Gp:
    """Gaussian process with Optuna's log expected improvement."""

    packages = ("torch", "scipy")
    least = 1
    floor = staticmethod(spread_floor)

    @staticmethod
    def make(seed: int, trials: Sequence[Any]) -> Any:
        from optuna.samplers import GPSampler

        return GPSampler(n_startup_trials=1, seed=seed)


class Cmaes:
    """CMA-ES (Hansen and Ostermeier, 2001), a generation a round, from the best of the startup points with a step of a
    sixth of the cube. It is not made for one dimension, so that it is given a second one, which no box looks at."""

    packages = ("cmaes",)
    least = 2
    floor = staticmethod(no_floor)

    @staticmethod
    def make(seed: int, trials: Sequence[Any]) -> Any:
        from optuna.samplers import CmaEsSampler

        scored = [trial for trial in trials if trial.value is not None]
        start = max(scored, key=lambda trial: trial.value).params if scored else None
        return CmaEsSampler(n_startup_trials=1, popsize=ROUND, x0=start, sigma0=SIGMA, seed=seed)


MAKERS: dict[str, Any] = {"tpe": Tpe, "gp": Gp, "cmaes": Cmaes}
