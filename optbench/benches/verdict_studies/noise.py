"""Errors of runs: several distributions of mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

LOG_SD = 0.75  # of the lognormal noise: skewness 3.3
Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""Draws errors of mean 0 and variance 1."""


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw standard normal errors."""
    return random.standard_normal(shape)


def student(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from Student's t with three degrees of freedom, scaled to variance 1."""
    return random.standard_t(3, shape) / math.sqrt(3)


def lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw lognormal errors of mean 0 and variance 1."""
    mean = math.exp(LOG_SD**2 / 2)
    return (random.lognormal(0, LOG_SD, shape) - mean) / (mean * math.sqrt(math.exp(LOG_SD**2) - 1))


NOISES: dict[str, Noise] = {"normal": normal, "t3": student, "lognormal": lognormal}
