"""The global random generators of Python, NumPy and torch's CPU, lent to the user's code with a seed of ours."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_generators() -> Iterator[None]:
    """Restore the global generators after the block: reading data must not change what the model draws."""
    python, numpy, own = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(own)


def seed_generators(seed: int) -> None:
    """Seed the global generators; those of other devices stay as they are."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
