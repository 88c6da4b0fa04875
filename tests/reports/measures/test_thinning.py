"""Curves with fewer points keep their spikes."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from optbench.reports.statistics.measures.thinning import thin

VALUE = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
SERIES = arrays.arrays(float, st.integers(0, 400), elements=VALUE, fill=st.sampled_from([0.0, 1.0]))
POINTS = st.integers(5, 120)


def test_a_short_curve_is_whole() -> None:
    assert thin([3.0, 1.0, 2.0], 1000).tolist() == [0, 1, 2]
    assert thin([], 1000).tolist() == []


def test_a_long_curve_by_hand() -> None:
    # 0 | 5 1 9 4 | 2 2 8 3 | 0: of each stretch the least and the greatest, the first of equals
    assert thin([0.0, 5.0, 1.0, 9.0, 4.0, 2.0, 2.0, 8.0, 3.0, 0.0], 8).tolist() == [0, 2, 3, 5, 7, 9]


@settings(deadline=None)
@given(SERIES, POINTS)
def test_first_last_and_extremes_are_kept(values: np.ndarray, points: int) -> None:
    kept = thin(values, points)
    assert len(kept) <= max(points, 5)
    assert (np.diff(kept) > 0).all()
    if len(values) <= points:
        assert kept.tolist() == list(range(len(values)))
    if len(values):
        assert kept[0] == 0 and kept[-1] == len(values) - 1
    finite = values[np.isfinite(values)]
    shown = values[kept][np.isfinite(values[kept])]
    if len(finite):
        assert shown.min() == finite.min() and shown.max() == finite.max()
    assert np.isfinite(values).all() == np.isfinite(values[kept]).all()  # a gap stays one


@settings(deadline=None)
@given(SERIES.filter(lambda values: len(values) > 20), st.integers(20, 120), st.data())
def test_extremes_of_every_stretch_are_kept(values: np.ndarray, points: int, data: st.DataObject) -> None:
    """Check that no value between two kept points exceeds what is kept nearby."""
    kept = thin(values, points)
    inside = np.arange(1, len(values) - 1)
    edges = np.linspace(1, len(values) - 1, (points - 2) // 3 + 1).astype(int)
    if len(values) <= points:
        return
    at = data.draw(st.integers(0, len(edges) - 2))
    stretch = inside[(inside >= edges[at]) & (inside < edges[at + 1])]
    own = values[stretch]
    shown = values[np.intersect1d(stretch, kept)]
    if np.isfinite(own).any():
        assert shown[np.isfinite(shown)].min() == own[np.isfinite(own)].min()
        assert shown[np.isfinite(shown)].max() == own[np.isfinite(own)].max()
    assert np.isfinite(own).all() == np.isfinite(shown).all()


@pytest.mark.parametrize("spike", [100.0, -100.0, math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 1, 777, 1998, 1999])
def test_a_spike_of_one_record_is_kept(spike: float, at: int) -> None:
    values = np.sin(np.arange(2000) / 50)
    values[at] = spike
    assert at in thin(values, 60)


def test_none_is_a_gap() -> None:
    values: list[float | None] = [1.0] * 500
    values[250] = None
    assert 250 in thin(values, 50)


def test_two_thousand_points_take_less_than_a_few_milliseconds() -> None:
    draw = np.random.default_rng(0)
    curves = [draw.normal(size=2000) for _ in range(50)]
    took = []
    for curve in curves:
        start = time.perf_counter()
        thin(curve)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.005  # 0.6 ms on two busy cores; a loop over records takes more
