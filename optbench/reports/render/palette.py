"""The contenders' colours, for a light and a dark background: no two the same, however many there are.

The first seven are chosen by hand (Okabe and Ito, 2008, darkened or lightened); each further one is that of a grid of
hues that is farthest from all before it, as the eye sees it."""

from __future__ import annotations

import colorsys
import itertools
import math
from functools import cache

LIGHT: tuple[str, ...] = ("#0072b2", "#d55e00", "#008f68", "#b4508b", "#a06f00", "#6a55a3", "#5c6670")
DARK: tuple[str, ...] = ("#56b4e9", "#f0803c", "#2cc295", "#e193c0", "#e6b422", "#b5a3ea", "#b4bcc5")
PHASES = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00", "#b9bec4")
PAPERS = ("#ffffff", "#14171b")
CONTRAST = 3.0  # of graphics against the paper: WCAG 2.1, 1.4.11
HUES, SATURATIONS, DEPTHS = 24, (0.9, 0.45), ((0.27, 0.86), (0.40, 0.70))  # lightness on light and on dark paper
FIRST_HUE, LAST_HUE = 0.58, 1.04  # of a ramp
Pair = tuple[str, str]


@cache
def palette(count: int) -> tuple[Pair, ...]:
    """Return a colour for light and one for dark paper for each of so many contenders. After all of the grid they start
    again."""
    found: list[Pair] = list(zip(LIGHT, DARK, strict=True))[:count]
    left = candidates()
    while len(found) < count and left:
        found.append(max(left, key=lambda one: min(distance(one, other) for other in found)))
        left.remove(found[-1])
    return tuple(itertools.islice(itertools.cycle(found), count))


@cache
def ramp(count: int) -> tuple[str, ...]:
    """Return colours of ordered things, from blue over violet to red. All stand out equally from light and dark
    paper."""
    return tuple(as_light(FIRST_HUE + (LAST_HUE - FIRST_HUE) * n / max(1, count - 1)) for n in range(count))


def as_light(hue: float) -> str:
    """Return the colour of a hue that has the same contrast with both papers."""
    middle = math.sqrt(math.prod(luminance(paper) + 0.05 for paper in PAPERS)) - 0.05
    low, high = 0.0, 1.0
    for _ in range(20):
        lightness = (low + high) / 2
        low, high = (low, lightness) if luminance(colour(hue, lightness, 0.75)) > middle else (lightness, high)
    return colour(hue, low, 0.75)


def candidates() -> list[Pair]:
    """Return the grid of colours that stand out from the paper."""
    grid = itertools.product(range(HUES), SATURATIONS, DEPTHS)
    pairs = [(colour(n / HUES, dark, s), colour(n / HUES, light, s)) for n, s, (dark, light) in grid]
    return [pair for pair in pairs if all(contrast(*both) >= CONTRAST for both in zip(pair, PAPERS, strict=True))]


def colour(hue: float, lightness: float, saturation: float) -> str:
    """Return a colour as #rrggbb."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, lightness, saturation))


def distance(a: Pair, b: Pair) -> float:
    """Return how far apart two contenders' colours look, on the paper where they are closer."""
    return min(math.dist(lab(x), lab(y)) for x, y in zip(a, b, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the ratio of the luminances (WCAG 2.1)."""
    low, high = sorted(luminance(c) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(of: str) -> float:
    """Return the relative luminance, 0 to 1."""
    red, green, blue = linear(of)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(of: str) -> tuple[float, float, float]:
    """Return red, green and blue without gamma."""
    red, green, blue = (int(of[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return undone(red), undone(green), undone(blue)


def undone(part: float) -> float:
    """Return a part of a colour without sRGB's gamma."""
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


@cache
def lab(of: str) -> tuple[float, float, float]:
    """Return CIELAB under D65, in which distances are as the eye sees them."""
    red, green, blue = linear(of)
    white = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in white)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
