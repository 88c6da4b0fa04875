"""The least noise of a metric, and the number of samples that its values show."""

from __future__ import annotations

import math

import pytest

from optbench.reports.statistics.scale import Scale, samples_behind, scale_of, spread


def test_a_share_has_binomial_noise_even_at_1() -> None:
    assert Scale("share", 360).least_sd(0.5) == pytest.approx(math.sqrt(0.25 / 360))
    share = 362 / 364  # Agresti and Coull
    assert Scale("share", 360).least_sd(1.0) == pytest.approx(math.sqrt(share * (1 - share) / 360))
    assert Scale("positive").least_sd(1.0) == Scale("share").least_sd(0.5) == 0.0


def test_values_show_how_many_samples_they_are_shares_of() -> None:
    assert samples_behind([347 / 360, 301 / 360]) == 360
    assert samples_behind([1.0, 1.0]) is None
    assert samples_behind([math.pi / 4, 0.5]) is None
    assert scale_of("share", [None, 360], [0.5]) == Scale("share", 360)
    assert scale_of("share", [None], [1 / 270, 2 / 270]) == Scale("share", 270)
    assert scale_of("positive", [360], [0.5]) == Scale("positive")
    assert scale_of(None, [], []) == Scale("real")


def test_equal_losses_differ_by_their_resolution() -> None:
    assert 0 < spread([3.0, 3.0, 3.0]) < 1e-6 and spread([1.0, 3.0]) == pytest.approx(math.sqrt(2))
