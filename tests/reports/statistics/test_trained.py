"""Which contenders are shown to beat the trivial answer."""

from __future__ import annotations

import numpy as np
import pytest

from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.trained import pooled_sd, trained


def arm(*values: float, failed: int = 0, trivial: float | None = 0.1, floor: float = 0.0, **more: object) -> Arm:
    return Arm("lion", values, failed, trivial=trivial, floor=floor, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (arm(0.5, 0.5, trivial=0.5), False),  # at the level of the trivial answer
        (arm(0.4, 0.45, trivial=0.5), False),
        (arm(0.90, 0.91, 0.92), True),
        (arm(0.10, 0.14, 0.12, 0.09), False),  # t = 1.1
        (arm(0.102, 0.102, floor=0.02), False),  # one more sample right of 360: less than the noise of the test set
        (arm(0.102, 0.102), True),  # without a floor equal values are certain: a function without noise
        (arm(-70.0, -69.0, -72.0, trivial=-60.0), False),  # losses are negated: worse than untrained
        (arm(trivial=0.5), None),
        (arm(0.9, 0.9, trivial=None), None),
    ],
)
def test_it_must_be_shown_to_beat_the_trivial_answer(one: Arm, expected: bool | None) -> None:
    assert trained(one) is expected


def test_failed_seeds_are_no_better_than_the_trivial_answer() -> None:
    assert trained(arm(0.95, 0.95, 0.95, 0.95, failed=1)) is True
    assert trained(arm(0.95, 0.94, failed=1)) is False  # mean 0.66, t = 2.0 of two degrees of freedom
    assert trained(arm(*[0.95] * 20, failed=21)) is False  # most seeds failed, whatever the mean says
    assert trained(arm(failed=3)) is False


def test_a_single_seed_needs_noise_from_elsewhere() -> None:
    assert trained(arm(0.9)) is None
    assert trained(arm(0.1)) is False
    assert trained(arm(0.9), pooled=(0.01, 8)) is True
    assert trained(arm(0.115), pooled=(0.01, 8)) is False
    assert trained(arm(0.9, floor=0.02)) is True
    assert trained(arm(0.12, floor=0.02)) is False
    assert pooled_sd([arm(0.9), arm(0.1, 0.3), arm(0.5, 0.5, 0.5)]) == pytest.approx(((0.02 / 3) ** 0.5, 3))
    assert pooled_sd([arm(0.9)]) is None


def test_the_selection_of_the_winner_counts() -> None:
    values, scores = (0.115, 0.155, 0.145), (0.11, 0.15, 0.16, 0.22)
    assert trained(arm(*values)) is True
    assert trained(arm(*values, scores=scores, winner=3)) is False


def test_what_other_points_might_have_found_does_not_count() -> None:
    """One scramble of the points found a setting that trains, the other one nothing."""
    scores, groups = (0.95, 0.1, 0.1, 0.1), (0, 1, 0, 1)
    assert trained(arm(0.95, 0.94, 0.95, 0.96, 0.95, scores=scores, winner=0, groups=groups), 0.99) is True


def test_a_contender_that_learned_nothing_is_called_trained_in_one_study_of_twenty() -> None:
    draw = np.random.default_rng(0)
    found = [trained(arm(*(0.1 + 0.02 * draw.standard_normal(3)))) for _ in range(2000)]
    assert sum(one is True for one in found) / 2000 == pytest.approx(0.05, abs=0.015)
