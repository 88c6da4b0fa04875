"""The data behind the figures, made small: deflated JSON in base64, which cannot end the script it stands in.

A curve's steps and seconds go as differences of whole numbers, its values to five digits: a pixel is coarser.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

from optbench.records import without_nonfinite
from optbench.reports.model.content import Curve
from optbench.reports.render.html.palette import Palette
from optbench.reports.render.html.tags import Markup

LEVEL = 6  # of deflation: 9 takes four times as long for 3 % less
TICKS = 4000  # into which the seconds of a run are parted
POINTS = 200_000  # of single runs in one file: about 1 MB
BAND_POINTS = 60_000  # of bands, of three values each: about 1 MB


def packed(data: Any) -> Markup:
    """Any JSON-like data as base64 of deflated JSON; what is not finite becomes null."""
    try:
        text = compact(data)
    except ValueError:  # rare, and looking for it in everything takes longer than writing it
        text = compact(without_nonfinite(data))
    return Markup(base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), LEVEL)).decode())


def compact(data: Any) -> str:
    """JSON without spaces. Raises ValueError where something is not finite."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False, default=str)


def curve_data(curve: Curve, names: Palette) -> dict[str, Any]:
    """A curve for page.js: `step` and `samples` as differences (samples else as a factor of step), `seconds` as
    differences of ticks."""
    data: dict[str, Any] = {
        "who": names.place(curve.contender),
        "step": differences(curve.step),
        "samples": factor(curve) or differences(curve.samples),
        "value": digits(curve.value),
    }
    tick = max(curve.train_seconds, default=0.0) / TICKS
    if tick > 0:
        data |= {"tick": rounded(tick, 7), "seconds": differences([round(s / tick) for s in curve.train_seconds])}
    if curve.low and curve.high:
        data |= {"low": digits(curve.low), "high": digits(curve.high)}
    if curve.run_id is not None:
        data |= {"run": curve.run_id, "seed": curve.seed, "status": curve.status}
    return data


def factor(curve: Curve) -> int | None:
    """Samples a step, where it is the same whole number all the way."""
    if not curve.step or not curve.step[-1] or curve.samples[-1] % curve.step[-1]:
        return None
    each = curve.samples[-1] // curve.step[-1]
    return each if all(n == each * s for n, s in zip(curve.samples, curve.step, strict=True)) else None


def differences(values: Sequence[int]) -> list[int]:
    """The first value, then what each is more than the one before."""
    return [int(value - before) for value, before in zip(values, (0, *values), strict=False)]


def digits(values: Sequence[float | None]) -> list[float | None]:
    """Values to five significant digits; what is not finite is None."""
    return [None if value is None else rounded(value, 5) for value in values]


def rounded(value: float, count: int) -> float | None:
    """A number to so many significant digits, a whole one without a point."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{count}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def thinned(curve: Curve, points: int) -> Curve:
    """A curve of about so many points: of each stretch the least and the greatest value, and one that was not
    finite; of a band the ends of its edges."""
    count = len(curve.step)
    if count <= points:
        return curve
    banded = bool(curve.low and curve.high)
    stretches = max(1, points // (4 if banded else 2))
    kept = {0, count - 1}
    for n in range(stretches):
        stretch = range(n * count // stretches, (n + 1) * count // stretches)
        kept |= extremes(curve.value, stretch)
        if banded:
            kept |= {least(curve.low, stretch, 1), least(curve.high, stretch, -1)}
    chosen = sorted(kept)
    columns = ("step", "samples", "train_seconds", "value", "low", "high")
    cut = {name: tuple(getattr(curve, name)[i] for i in chosen) for name in columns if getattr(curve, name)}
    rest = {"run_id": curve.run_id, "seed": curve.seed, "status": curve.status}
    return Curve(curve.contender, curve.column, **cut, **rest)


def extremes(values: Sequence[float | None], stretch: range) -> set[int]:
    """Where the least and the greatest finite values of a stretch are, and its first that is not finite."""
    finite = [i for i in stretch if values[i] is not None]
    found = set(next(([i] for i in stretch if values[i] is None), []))
    return found | {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)} if finite else found


def least(values: Sequence[float | None], stretch: range, sign: int) -> int:
    """Where the least value of a stretch is; the greatest for a sign of -1."""
    return min(stretch, key=lambda i: math.inf if (value := values[i]) is None else sign * value)


def share_of_points(curves: Sequence[Curve], points: int) -> int:
    """How many points each curve may have, so that all together stay below `points`; never fewer than 20."""
    return max(20, points // max(1, len(curves)))
