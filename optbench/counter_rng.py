"""Counter-based random numbers: functions of (seed, sample, position) alone.

The numbers of a sample do not depend on its batch, micro-batch, process or device. A resumed run, another number of
workers and gradient accumulation all see the same numbers. The generator is splitmix64 (Steele, Lea and Flood, 2014,
Fast Splittable Pseudorandom Number Generators) on 64-bit integer tensors.

Code that draws from torch's own generators gets the same by a seed of its own for each batch or step: `mixed_seed` and
`seed_torch`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mixed_seed(seed: int, number: int) -> int:
    """Return a seed for one epoch or step in [0, 2^63), unrelated to the next one's (splitmix64's finaliser)."""
    z = (seed + (number + 1) * GOLDEN) % 2**64
    z = ((z ^ (z >> 30)) * FIRST) % 2**64
    z = ((z ^ (z >> 27)) * SECOND) % 2**64
    return (z ^ (z >> 31)) >> 1


def bits(seed: int, index: Tensor, length: int, stream: int = 0) -> Tensor:
    """Return 63 random bits for each of `length` positions of each sample: int64 (B, length) from `index` (B,).

    Different streams give unrelated numbers for the same samples."""
    start = to_int64(mixed_seed(seed, stream) << 1)
    samples = finalise(index.to(torch.int64) * to_int64(GOLDEN) + start)
    positions = torch.arange(1, length + 1, device=index.device, dtype=torch.int64) * to_int64(GOLDEN)
    return finalise(samples[:, None] + positions[None, :]) & (2**63 - 1)


def uniform(seed: int, index: Tensor, length: int, stream: int = 0) -> Tensor:
    """Return float64 (B, length), uniform in [0, 1); see `bits`."""
    return (bits(seed, index, length, stream) >> 10).to(torch.float64) * 2.0**-53


def normal(seed: int, index: Tensor, length: int, stream: int = 0) -> Tensor:
    """Return float64 (B, length), normal with mean 0 and variance 1 (Box and Muller); see `bits`."""
    half = (length + 1) // 2
    draws = uniform(seed, index, 2 * half, stream)
    radius = torch.sqrt(-2 * torch.log1p(-draws[:, :half]))
    angle = 2 * math.pi * draws[:, half:]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], 1)[:, :length]


def finalise(z: Tensor) -> Tensor:
    """Apply splitmix64's finaliser to int64 tensors, whose products wrap around like unsigned ones."""
    z = (z ^ shift_right(z, 30)) * to_int64(FIRST)
    z = (z ^ shift_right(z, 27)) * to_int64(SECOND)
    return z ^ shift_right(z, 31)


def shift_right(z: Tensor, by: int) -> Tensor:
    """Shift logically to the right; torch's own shift keeps the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def to_int64(word: int) -> int:
    """Return the int64 with the same bits as a 64-bit word."""
    word %= 2**64
    return word - 2**64 if word >= 2**63 else word


def seed_torch(seed: int) -> None:
    """Seed torch's generators of the CPU and, once CUDA is in use, of its devices.

    `torch.manual_seed` also keeps a stack trace for every kind of device that is not in use. That takes 0.1 ms, and
    milliseconds on a deep stack: too much where every step has a seed of its own."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
