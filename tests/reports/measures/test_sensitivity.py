"""The cost of a wrong learning rate, by hand and against a fine integral."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.measures.sensitivity import sensitivity, trapezoid_weights

POINTS = st.lists(
    st.tuples(st.integers(-16, 4).map(lambda n: 2.0**n), st.one_of(st.none(), st.floats(-3, 3))), min_size=2, max_size=8
)


def number(x: list[float], values: list[float | None], direction: str = "max", **options):
    return sensitivity("a", "optimizer.lr", x, values, direction, **options).number


def test_three_rates_by_hand() -> None:
    found = sensitivity("lion", "optimizer.lr", [0.01, 0.1, 1.0], [0.8, 0.9, 0.1], "max", trivial=0.1, chosen=0.1)
    # the mean of a line through them on a log scale: (.8/2 + .9 + .1/2) / 2 = .675, .225 below the best
    assert found.number.value == pytest.approx(0.225)
    assert (found.number.low, found.number.high, found.number.n) == (None, None, 3)
    assert (found.x, found.value, found.chosen) == ((0.01, 0.1, 1.0), (0.8, 0.9, 0.1), 0.1)


def test_a_failure_costs_what_learning_nothing_costs() -> None:
    assert number([0.1, 1.0], [0.9, None], trivial=0.1).value == pytest.approx(0.4)
    assert number([0.1, 1.0], [0.9, math.nan], trivial=0.1).value == pytest.approx(0.4)
    assert number([0.1, 1.0], [1.0, 500.0], "min", trivial=3.0).value == pytest.approx(1.0)  # no worse than 3
    assert number([0.1, 0.4, 1.6], [0.9, 0.5, None]).value == pytest.approx(0.3)  # trivial not known: the worst trial


def test_trials_at_one_rate_are_averaged() -> None:
    assert number([0.1, 1.0, 1.0], [0.9, 0.3, 0.5], trivial=0.0).value == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("x", "values"),
    [
        ([0.1], [0.9]),
        ([0.1, 0.1], [0.9, 0.8]),
        ([0.0, -1.0, 0.1], [0.9, 0.8, 0.7]),  # a logarithm needs a positive rate
        ([0.1, 1.0], [None, None]),
        ([], []),
    ],
)
def test_without_two_rates_or_any_result_there_is_no_number(x: list[float], values: list[float | None]) -> None:
    assert number(x, values, trivial=0.1).value is None


def test_without_learning_there_is_no_number() -> None:
    assert number([0.1, 1.0], [0.1, 0.05], trivial=0.1).value is None  # and not 0, the best there is
    assert number([0.1, 1.0], [0.5, 0.5], trivial=0.1).value == 0.0


@pytest.mark.parametrize("direction", ["max", "min"])
@settings(deadline=None, max_examples=50)
@given(points=POINTS, trivial=st.floats(-2, 2))
def test_it_is_the_mean_of_the_curve(direction: str, points: list[tuple[float, float | None]], trivial: float) -> None:
    import numpy as np

    x, values = [p[0] for p in points], [p[1] for p in points]
    sign = 1 if direction == "max" else -1
    found = number(x, values, direction, trivial=trivial).value
    known = [sign * value for value in values if value is not None]
    if len(set(x)) < 2 or not known or max(known) <= sign * trivial:
        assert found is None
        return
    capped = [max(sign * trivial, sign * v) if v is not None else sign * trivial for v in values]
    rates = sorted(set(x))
    means = [np.mean([c for at, c in zip(x, capped, strict=True) if at == rate]) for rate in rates]
    grid = np.linspace(np.log(rates[0]), np.log(rates[-1]), 20 * 1000 + 1)
    middles = (grid[1:] + grid[:-1]) / 2
    curve = np.interp(middles, np.log(rates), means)
    assert found == pytest.approx(max(means) - curve.mean(), abs=1e-3)
    assert found >= -1e-9


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9, unique=True))
def test_weights_are_a_mean(at: list[float]) -> None:
    ordered = sorted(at)
    if ordered[-1] - ordered[0] < 1e-6:
        return
    weights = trapezoid_weights(ordered)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0


def test_the_interval_carries_the_noise_of_the_trials() -> None:
    found = number([0.1, 1.0], [0.9, 0.5], trivial=0.1, noise=[0.88, 0.90, 0.92])
    # loss = .9 - (.9 + .5) / 2: weights 1/2 and -1/2, sd .02, t of two degrees of freedom 4.302653
    half = 4.302653 * 0.02 * math.sqrt(0.5)
    assert (found.low, found.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert number([0.1, 1.0], [0.9, 0.5], trivial=0.1, noise=[0.9]).low is None
    assert number([0.1, 1.0], [0.9, 0.9], trivial=0.1, noise=[0.8, 0.9]).low == 0.0  # no loss is less than none


def test_the_noise_of_four_rates_and_a_repeated_one() -> None:
    # the best is the second one, of two trials; weights are 1/6, 1/3, 1/3, 1/6, so that it counts 1 - 1/3
    x, values = [0.01, 0.1, 0.1, 1.0, 10.0], [0.5, 0.8, 1.0, 0.3, 0.1]
    found = number(x, values, trivial=0.1, noise=[0.88, 0.90, 0.92])
    half = 4.302653 * 0.02 * math.sqrt((2 / 3) ** 2 / 2 + (1 / 3) ** 2 + 2 * (1 / 6) ** 2)
    assert found.value == pytest.approx(0.9 - (0.5 / 6 + 0.9 / 3 + 0.3 / 3 + 0.1 / 6))
    assert found.high - found.value == pytest.approx(half)


@pytest.mark.slow
def test_the_interval_covers() -> None:
    """Simulate 5,000 studies of seven rates with noise of five seeds; the best rate is clearly the best."""
    import numpy as np

    draw = np.random.default_rng(0)
    x = np.logspace(-4, -1, 7)
    truth = np.array([0.3, 0.5, 0.7, 0.9, 0.7, 0.5, 0.3])
    real = number(list(x), list(truth), trivial=0.0).value
    hits = 0
    for _ in range(5000):
        noise = list(0.9 + 0.02 * draw.normal(size=5))
        found = number(list(x), list(truth + 0.02 * draw.normal(size=7)), trivial=0.0, noise=noise)
        hits += found.low <= real <= found.high
    assert hits / 5000 == pytest.approx(0.95, abs=0.02)
