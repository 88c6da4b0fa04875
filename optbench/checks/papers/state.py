"""Low-precision state: the moments of an inner rule are rounded after each step. A modifier of elementwise rules.

int8: Tim Dettmers, Mike Lewis, Sam Shleifer, Luke Zettlemoyer (2022), "8-bit Optimizers via Block-wise Quantization",
arXiv:2110.02861, sections 2 and 3, with the map and the rounding of torchao's AdamW8bit. In blocks of the flattened
moment (the last one may be shorter):

    N = max |m|, at least 1e-12;      m <- N q,  q the entry of the map nearest to m / N, the larger of two

The map has 0, 1 and, for e = 0..6, the middles of 2^e equal parts of [0.1, 1] times 10^(e-6) with both signs, or of
2^(e+1) parts for a moment that is never negative. Its entries are fp32 numbers.

bf16: m <- one of the two neighbours of m (rounded to fp32) in bf16, the one further from zero with the probability
(m - lower) / (upper - lower); that is, 16 random bits are added to the 16 that bf16 lacks, and the sum is cut. The bits
of element i of moment k (0, 1, ...) in step t are the lower 16 of a hash, h(i 0x9E3779B1 + (16 t + k) 0x85EBCA77):

    h: x <- x mod 2^32;   twice: x <- (x xor x / 2^16) 0x45D9F3B mod 2^32;   x xor x / 2^16

The rule's own step uses the moment before it is rounded.
"""

from collections.abc import Mapping

import numpy as np

from optbench.checks.papers import Array, Trajectory


def paper(
    theta: Array, steps: Trajectory, moments: Mapping[str, str], *, dtype: str, block: int, smallest: int
) -> Trajectory:
    """Yield theta after each step. `steps`: the inner rule's generator, whose local variables hold the moments;
    `moments`: their names, each "signed" or "unsigned"."""
    for t, _ in enumerate(steps, 1):
        if theta.size >= smallest:
            inner = steps.gi_frame.f_locals  # type: ignore[attr-defined]  (a generator's)
            for k, (name, sign) in enumerate(moments.items()):
                m = inner[name].reshape(-1)
                m[:] = eight_bits(m, sign, block) if dtype == "int8" else sixteen_bits(m, t, k)
        yield theta


def eight_bits(m: Array, sign: str, block: int) -> Array:
    """Return the values that int8 keeps of a moment (n,)."""
    entries, kept = tree(sign), np.empty_like(m)
    for start in range(0, m.size, block):
        part = m[start : start + block]
        largest = max(np.abs(part).max(), 1e-12)
        gaps = np.abs(part[:, None] / largest - entries)
        kept[start : start + block] = largest * entries[len(entries) - 1 - gaps[:, ::-1].argmin(1)]
    return kept


def tree(sign: str) -> Array:
    """Return the entries of the map, ascending."""
    found = [np.array([0.0, 1.0])]
    for e in range(7):
        edges = np.linspace(0.1, 1.0, 2 ** (e + (sign == "unsigned")) + 1)
        middles = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (e - 6)
        found += [middles, -middles] if sign == "signed" else [middles]
    return np.sort(np.concatenate(found)).astype(np.float32).astype(np.float64)


def sixteen_bits(m: Array, t: int, k: int) -> Array:
    """Return the values that bf16 keeps of moment k in step t."""
    x = (np.arange(m.size, dtype=np.uint64) * 0x9E3779B1 + (16 * t + k) * 0x85EBCA77) % 2**32
    for _ in range(2):
        x = (x ^ (x // 2**16)) * 0x45D9F3B % 2**32
    bits = (x ^ (x // 2**16)) % 2**16
    cut = m.astype(np.float32).view(np.uint32) + bits.astype(np.uint32)
    return (cut & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
