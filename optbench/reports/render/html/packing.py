"""The data behind the figures, made small: deflated JSON in base64, which cannot end the script it stands in.

A curve's steps and seconds go as differences of whole numbers, its values to five digits: a pixel is coarser.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Sequence

from markupsafe import Markup

from optbench.records import without_nonfinite
from optbench.reports.model.content import Curve

LEVEL = 6  # of deflation: 9 takes four times as long for 3 % less
TICKS = 4000  # into which the seconds of a run are parted


def packed(data: object) -> Markup:
    """Return any JSON-like data as base64 of deflated JSON; what is not finite becomes null."""
    try:
        text = compact(data)
    except ValueError:  # rare, and looking for it in everything takes longer than writing it
        text = compact(without_nonfinite(data))
    return Markup(base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), LEVEL)).decode())


def compact(data: object) -> str:
    """Return JSON without spaces. Raises ValueError where something is not finite."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False, default=listed)


def listed(value: object) -> object:
    """Return a sequence that JSON does not know, such as a range, as a list; anything else as text."""
    return list(value) if isinstance(value, Sequence) else str(value)


def curve_data(curve: Curve, who: int) -> dict[str, object]:
    """Return a curve for figures.js: `step` and `samples` as differences (samples where they can be as a factor of
    step), `seconds` as differences of ticks."""
    data: dict[str, object] = {
        "who": who,
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
    """Return the samples of a step, where they are the same whole number all the way."""
    if not curve.samples or not curve.step[-1] or curve.samples[-1] % curve.step[-1]:
        return None
    each = curve.samples[-1] // curve.step[-1]
    return each if all(n == each * s for n, s in zip(curve.samples, curve.step, strict=True)) else None


def differences(values: Sequence[int]) -> list[int]:
    """Return the first value, then how much each exceeds the one before."""
    return [int(value - before) for value, before in zip(values, (0, *values), strict=False)]


def digits(values: Sequence[float | None]) -> list[float | None]:
    """Round values to five significant digits; what is not finite becomes None."""
    return [None if value is None else rounded(value, 5) for value in values]


def rounded(value: float, count: int) -> float | None:
    """Round a number to so many significant digits, a whole one without a point."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{count}g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short
