"""Fréchet distance, precision and recall, compared with closed forms and sets worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from optbench.tasks.generative.distances import frechet, moments, neighbour_distances, precision_recall


def spd(dim: int, seed: int, rank: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(dim, rank or dim, generator=generator, dtype=torch.float64)
    return factor @ factor.T


def rotation(dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))[0]


def test_moments_are_mean_and_unbiased_covariance() -> None:
    mean, cov = moments(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    assert mean.tolist() == [1.0, 1.0]
    assert cov.tolist() == [[1.0, 0.0], [0.0, 3.0]]


def test_commuting_covariances_give_a_sum_over_axes() -> None:
    """Compare with |m - n|^2 + sum (s - t)^2 over the common axes; s and t are standard deviations."""
    axes = rotation(5, 1)
    s, t = torch.tensor([3.0, 2, 1, 0.5, 0]).double(), torch.tensor([1.0, 2, 4, 0, 0]).double()
    m, n = torch.arange(5).double(), torch.ones(5).double()
    a, b = (m, axes @ torch.diag(s**2) @ axes.T), (n, axes @ torch.diag(t**2) @ axes.T)
    expected = float((m - n).square().sum() + (s - t).square().sum())
    assert frechet(a, b) == pytest.approx(expected, abs=1e-6)
    assert frechet(b, a) == pytest.approx(expected, abs=1e-6)


def test_two_dimensional_covariances_have_a_closed_form() -> None:
    """Use that a 2x2 matrix P with non-negative eigenvalues has tr P^1/2 = (tr P + 2 det^1/2)^1/2."""
    a, b, zero = spd(2, 2), spd(2, 3), torch.zeros(2, dtype=torch.float64)
    product = a @ b
    root = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(torch.linalg.det(product))))
    assert frechet((zero, a), (zero, b)) == pytest.approx(float(a.trace() + b.trace()) - 2 * root, rel=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 40])
def test_covariances_may_have_low_rank(rank: int) -> None:
    cov, mean = spd(40, 4, rank), torch.zeros(40, dtype=torch.float64)
    assert frechet((mean, cov), (mean, cov)) == pytest.approx(0, abs=1e-5 * float(cov.trace()))
    assert frechet((mean, cov), (mean + 1, cov)) == pytest.approx(40, rel=1e-3)
    assert frechet((mean, cov), (mean, 4 * cov)) == pytest.approx(float(cov.trace()), rel=1e-3)


def test_the_distance_is_invariant_to_rotation_and_quadratic_in_scale() -> None:
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(2, 50, 6, generator=generator, dtype=torch.float64)
    y, turn = y * 2 + 1, rotation(6, 6)
    plain = frechet(moments(x), moments(y))
    assert frechet(moments(x @ turn), moments(y @ turn)) == pytest.approx(plain, rel=1e-9)
    assert frechet(moments(3 * x), moments(3 * y)) == pytest.approx(9 * plain, rel=1e-9)


def test_values_that_are_not_finite_give_nan() -> None:
    x = torch.ones(4, 3)
    assert math.isnan(frechet(moments(x), moments(x * float("nan"))))


def test_the_radius_is_the_distance_to_the_third_neighbour() -> None:
    line = torch.tensor([[0.0], [1], [3], [6], [10]])
    assert neighbour_distances(line).tolist() == [6, 5, 3, 5, 9]
    assert neighbour_distances(line[:2]).tolist() == [1, 1]


def test_precision_and_recall_of_sets_on_a_line() -> None:
    """Work out two manifolds by hand.

    Real: 0, 1, 2, 3 with radii 3, 2, 2, 3, so the manifold is [-3, 6]. Generated: 5, 5.5, 6.5, 9 with radii 4, 3.5,
    2.5, 4, so the manifold is [1, 13]."""
    real, fake = torch.tensor([[0.0], [1], [2], [3]]), torch.tensor([[5.0], [5.5], [6.5], [9]])
    precision, recall = precision_recall(real, fake)
    assert precision == 0.5
    assert recall == 0.75


def test_precision_and_recall_distinguish_missing_classes_from_bad_images() -> None:
    generator = torch.Generator().manual_seed(7)
    one, two, far = (torch.randn(200, 4, generator=generator) + shift for shift in (0, 50, 900))
    precision, recall = precision_recall(torch.cat([one, two]), one + 0.01)
    assert precision == 1  # every generated one is good
    assert recall == 0.5  # half of the real ones are never generated
    precision, recall = precision_recall(one, torch.cat([one + 0.01, far]))
    assert (precision, recall) == (0.5, 1)
