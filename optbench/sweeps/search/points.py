"""Where a box is searched. Points depend on the seed and their number alone: neither on what else is compared nor on
how many workers there are, and the first 16 of 32 trials are those of 16."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

from optbench.errors import ConfigError
from optbench.sweeps.study.space import Box

COORDINATES = 16  # drawn for every point, so that a box of two dimensions sees the first two of one of three
ROUND = 4  # trials that a sampler which learns proposes at once, however many workers there are
QUASI_RANDOM = ("sobol", "halton")
LEARNING = ("tpe", "gp", "cmaes")
SAMPLERS = (*QUASI_RANDOM, "random", "grid", *LEARNING)


class Search(Protocol):
    """A way through a box, in rounds."""

    def ask(self) -> list[Sequence[float]]:
        """The next points of the unit cube; none when the trials are used up."""

    def tell(self, scores: Sequence[float | None]) -> None:
        """The scores of those points, larger is better; None for a trial without one."""


class Fixed:
    """Points that are known beforehand: one round."""

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        self._points = list(points)

    def ask(self) -> list[Sequence[float]]:
        """All of them, once."""
        points, self._points = self._points, []
        return points

    def tell(self, scores: Sequence[float | None]) -> None:
        """Nothing is learnt."""


def search(sampler: str, box: Box, trials: int, seed: int, first: int = 0) -> Search:
    """The search of a box by a sampler of this name, from its point number `first` on. ConfigError for an unknown
    one."""
    if sampler in LEARNING:
        from optbench.sweeps.search.learned import Learning

        return Learning(sampler, box, trials, seed + first)
    if sampler == "grid":
        return Fixed(grid(box, trials))
    if sampler not in SAMPLERS:
        raise ConfigError(f"--sampler {sampler}: there is no such sampler", f"Known: {', '.join(SAMPLERS)}")
    return Fixed(unit_points(sampler, max(COORDINATES, len(box)), first + trials, seed)[first:])


def unit_points(sampler: str, coordinates: int, count: int, seed: int) -> list[list[float]]:
    """`count` points of [0, 1)^coordinates: scrambled Sobol (Owen, 1998; Joe and Kuo's directions), scrambled Halton,
    both as SciPy has them, or uniform."""
    import numpy

    if sampler == "random":
        return numpy.random.default_rng(seed).random((count, coordinates)).tolist()
    from scipy.stats import qmc

    kind = {"sobol": qmc.Sobol, "halton": qmc.Halton}[sampler]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # Sobol's balance needs a power of two; a count is the user's choice
        return kind(coordinates, scramble=True, seed=numpy.random.default_rng(seed)).random(count).tolist()


def grid(box: Box, trials: int) -> list[list[float]]:
    """Exactly `trials` points of a regular grid: the prime factors of their number, the largest first, go to the
    dimension with the fewest levels; a list of values always takes as many levels as it has. Cell centres, so that no
    edge is hit."""
    if not len(box):
        return [[0.5] * COORDINATES][:trials]
    levels = [len(d.values) or 1 for d in box.dimensions]
    free = [i for i, d in enumerate(box.dimensions) if not d.values]
    fixed = product(levels)
    if trials % fixed or (trials != fixed and not free):
        names = " x ".join(str(len(d.values)) for d in box.dimensions if d.values)
        raise ConfigError(
            f"--sampler grid: {trials} trials are no multiple of the {names} values given"
            if free
            else f"--sampler grid: the values given make {fixed} trials, not {trials}",
            f"Say --trials {fixed if not free else fixed * max(1, trials // fixed)}",
        )
    for factor in sorted(prime_factors(trials // fixed), reverse=True):
        smallest = min(free, key=lambda i: (levels[i], i))
        levels[smallest] *= factor
    points: list[list[float]] = [[]]
    for count in levels:
        points = [[*point, (i + 0.5) / count] for point in points for i in range(count)]
    return points


def product(numbers: Sequence[int]) -> int:
    """Their product."""
    result = 1
    for number in numbers:
        result *= number
    return result


def prime_factors(number: int) -> list[int]:
    """The prime factors of a positive whole number, each as often as it divides it."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, *([number] if number > 1 else [])]
