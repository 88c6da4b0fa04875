"""Sobol points, scrambled by a random matrix and a random shift (Matousek, 1998). They are those of SciPy's Sobol, bit
for bit, but importing scipy.stats takes longer than planning a sweep; only its table of directions is read here."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

BITS = 30  # of a coordinate
DIRECTIONS = "stats/_sobol_direction_numbers.npz"  # by Joe and Kuo (2008); comes with SciPy


def direction_table() -> Path | None:
    """Return SciPy's table of directions; None if this version of SciPy has it elsewhere."""
    package = importlib.util.find_spec("scipy")
    file = Path(package.origin).parent / DIRECTIONS if package is not None and package.origin is not None else None
    return file if file is not None and file.is_file() else None


def sobol_points(table: Path, coordinates: int, count: int, seed: int | Sequence[int]) -> list[list[float]]:
    """Return the first `count` points of [0, 1)^coordinates of a scrambled Sobol sequence."""
    import numpy as np

    generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])  # as SciPy treats a given generator
    drawn = {"size": (coordinates, BITS), "dtype": np.uint32}
    shift = generator.integers(2, **drawn) @ powers()
    matrices = np.tril(generator.integers(2, **{**drawn, "size": (coordinates, BITS, BITS)}))
    numbers = scrambled(direction_numbers(table, coordinates), matrices)
    order = np.arange(count - 1)
    lowest_zero_bit = np.log2(~order & (order + 1)).astype(int)  # the bit in which the Gray code changes
    steps = np.concatenate([shift[None], numbers[:, lowest_zero_bit].T])
    return (np.bitwise_xor.accumulate(steps, axis=0)[:count] / 2**BITS).tolist()


def powers() -> np.ndarray:
    """Return 1, 2, 4, ... for the bits."""
    import numpy as np

    return 2 ** np.arange(BITS, dtype=np.uint32)


def direction_numbers(table: Path, coordinates: int) -> np.ndarray:
    """Return the direction numbers (coordinates, BITS), by the recurrence of Bratley and Fox (1988)."""
    import numpy as np

    with np.load(table) as stored:
        polynomials, initial = stored["poly"][:coordinates].tolist(), stored["vinit"][:coordinates].tolist()
    rows = [[1] * BITS]
    for polynomial, first in zip(polynomials[1:], initial[1:], strict=True):
        degree = polynomial.bit_length() - 1
        row = first[:degree]
        for j in range(degree, BITS):
            number = row[j - degree]
            for k in range(degree):
                number ^= (polynomial >> (degree - 1 - k) & 1) * (row[j - k - 1] << (k + 1))
            row.append(number)
        rows.append(row)
    return np.array(rows[:coordinates], dtype=np.uint32) * powers()[::-1]


def scrambled(numbers: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return direction numbers multiplied by a lower triangular matrix of bits for each coordinate."""
    import numpy as np

    matrices = matrices.copy()
    matrices[:, np.arange(BITS), np.arange(BITS)] = 1
    bits = numbers[:, :, None] >> np.arange(BITS, dtype=np.uint32)[::-1] & 1  # (coordinates, number, bit), high first
    products = np.einsum("dpk,djk->djp", matrices, bits) % 2
    return products @ powers()[::-1]
