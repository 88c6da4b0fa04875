"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench.training import schedules

ALL = {
    "constant": {},
    "cosine": {"floor": 0.1},
    "linear": {"floor": 0.0},
    "wsd": {"decay": 0.2, "floor": 0.0},
    "inverse_sqrt": {},
}


@pytest.mark.parametrize("name", ALL)
@given(steps=st.integers(1, 2000), warmup=st.one_of(st.floats(0, 0.99), st.integers(1, 3000)))
def test_factors_lie_in_0_to_1_and_the_warm_up_rises(name: str, steps: int, warmup: float) -> None:
    factor = getattr(schedules, name)(steps=steps, warmup=warmup, **ALL[name])
    values = [factor(step) for step in range(steps)]
    assert all(0 <= value <= 1 for value in values)
    assert values[0] > 0
    rise = min(schedules.steps_of(warmup, steps), steps)
    assert values[:rise] == sorted(values[:rise])
    assert values[rise:] == sorted(values[rise:], reverse=True)


@pytest.mark.parametrize(
    ("name", "settings", "step", "expected"),
    [
        ("constant", {}, 50, 1.0),
        ("cosine", {"floor": 0.0}, 55, 0.5),
        ("cosine", {"floor": 0.2}, 100, 0.2),
        ("linear", {"floor": 0.0}, 55, 0.5),
        ("wsd", {"decay": 0.2, "floor": 0.0}, 79, 1.0),
        ("wsd", {"decay": 0.2, "floor": 0.0}, 90, 0.5),
        ("wsd", {"decay": 20, "floor": 0.5}, 90, 0.75),
        ("inverse_sqrt", {}, 39, 0.5),
        ("constant", {}, 0, 1 / 11),
    ],
)
def test_hand_worked_values(name: str, settings: dict[str, Any], step: int, expected: float) -> None:
    factor = getattr(schedules, name)(steps=100, warmup=0.1, **settings)
    assert math.isclose(factor(step), expected)
