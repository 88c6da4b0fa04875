"""Newton-Schulz iterations, and Muon and NorMuon at settings other than their files'."""

from __future__ import annotations

import pytest
import torch

from optbench import config
from optbench.checks.faithful import faithful
from optbench.checks.papers.muon import polar_express
from optbench.checks.subject import make_subject
from optbench.optimizers.core.newton_schulz import coefficients_of, newton_schulz


@pytest.mark.parametrize("steps", [0, 1, 5, 8, 11])
def test_the_coefficients_of_the_polar_express_are_the_best_of_each_interval(steps: int) -> None:
    table = torch.tensor(coefficients_of("polar_express", steps), dtype=torch.float64)
    torch.testing.assert_close(table, torch.tensor(polar_express(steps), dtype=torch.float64), rtol=1e-8, atol=0)
    assert len(table) == steps


@pytest.mark.parametrize(("coefficients", "steps", "low", "high"), [
    ("original", 5, 0.68, 1.21), ("polar_express", 5, 0.8, 1.2), ("polar_express", 9, 1 - 1e-6, 1 + 1e-6),
])  # fmt: skip
@pytest.mark.parametrize("shape", [(3, 6, 20), (2, 20, 6), (2, 6, 6)])
def test_singular_values_come_near_one(
    coefficients: str, steps: int, low: float, high: float, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(1)
    matrices = torch.randn(shape, dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    matrices = u @ torch.diag(torch.logspace(0, -1.5, 6, dtype=torch.float64)) @ v
    found = newton_schulz(matrices, coefficients, steps)
    values = torch.linalg.svdvals(found)
    assert low < values.min() and values.max() < high
    inner = u.mT @ found @ v.mT
    torch.testing.assert_close(inner, torch.diag_embed(inner.diagonal(dim1=1, dim2=2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["muon", "normuon"])
@pytest.mark.parametrize("settings", [
    ("coefficients=polar_express", "scale=rms", "nesterov=false"),
    ("cautious_momentum=true", "ns_steps=3"),
])  # fmt: skip
def test_settings_are_the_papers(name: str, settings: tuple[str, ...]) -> None:
    loaded = config.load([f"optimizer={name}", *(f"optimizer.{one}" for one in settings)])
    found = faithful(make_subject(loaded))
    assert found.state == "pass", found.detail
