"""Points of the unit cube that are known in advance.

A point depends on the seed and its number alone: not on the other cells, not on the number of workers. The first 16 of
32 trials are those of 16."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from optbench.errors import ConfigError
from optbench.sweeps.search.sobol import direction_table, sobol_points
from optbench.sweeps.study.space import Box

COORDINATES = 16  # of every point, so that a box of two dimensions uses the first two of a box of three


def scrambled_points(sampler: str, coordinates: int, count: int, seed: int, scrambles: int) -> list[list[float]]:
    """Return `count` points in turns from independent scrambles of the sampler's sequence; the first is that of the
    seed alone."""
    each = -(-count // scrambles)
    sets = [unit_points(sampler, coordinates, each, (seed, number)) for number in range(scrambles)]
    return [sets[i % scrambles][i // scrambles] for i in range(count)]


def unit_points(sampler: str, coordinates: int, count: int, seed: int | Sequence[int]) -> list[list[float]]:
    """Return `count` points of [0, 1)^coordinates: uniform, or of a scrambled Sobol sequence (Owen, 1998;
    directions by Joe and Kuo), or of SciPy's scrambled Halton sequence."""
    import numpy

    if sampler == "random":
        return numpy.random.default_rng(seed).random((count, coordinates)).tolist()
    table = direction_table() if sampler == "sobol" else None
    if table is not None:
        return sobol_points(table, coordinates, count, seed)
    from scipy.stats import qmc

    sequence: Any = {"sobol": qmc.Sobol, "halton": qmc.Halton}[sampler]  # `seed` is `rng` in newer versions' types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Sobol wants a power of two; the user chose the count
        return sequence(coordinates, scramble=True, seed=numpy.random.default_rng(seed)).random(count).tolist()


def grid(box: Box, trials: int) -> list[list[float]]:
    """Return exactly `trials` points of a regular grid, at the centres of its cells, so that no edge is hit.

    A list of values takes as many levels as it has. The prime factors of what remains go, largest first, to the
    interval with the fewest levels. Raises ConfigError if `trials` is not a multiple of the listed values."""
    if not len(box):
        return [[0.5] * COORDINATES][:trials]
    levels = [len(d.values) or 1 for d in box.dimensions]
    free = [i for i, d in enumerate(box.dimensions) if not d.values]
    fixed = math.prod(levels)
    if trials % fixed or (trials != fixed and not free):
        names = " x ".join(str(len(d.values)) for d in box.dimensions if d.values)
        raise ConfigError(
            f"--sampler grid: {trials} trials are not a multiple of the {names} listed values"
            if free
            else f"--sampler grid: the listed values make {fixed} trials, not {trials}",
            f"Say --trials {fixed if not free else fixed * max(1, trials // fixed)}",
        )
    for factor in sorted(prime_factors(trials // fixed), reverse=True):
        smallest = min(free, key=lambda i: (levels[i], i))
        levels[smallest] *= factor
    points: list[list[float]] = [[]]
    for count in levels:
        points = [[*point, (i + 0.5) / count] for point in points for i in range(count)]
    return points


def prime_factors(number: int) -> list[int]:
    """Return the prime factors of a positive integer, each as often as it divides it."""
    factors: list[int] = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, *([number] if number > 1 else [])]
