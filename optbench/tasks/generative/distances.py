"""How far apart two sets of feature vectors are."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOUR = 3  # whose distance is the radius around a sample (Kynkäänniemi et al., 2019)
ROWS = 1024  # samples whose distances are held at once


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d), float64, of samples (N, d)."""
    x = features.double()
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / max(1, len(x) - 1)


def frechet(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """Squared Fréchet distance of two normal distributions (Dowson and Landau, 1982; Heusel et al., 2017):

        |m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a^1/2 S_b S_a^1/2)^1/2)

    Only roots of symmetric matrices are taken, of eigenvalues that rounding made negative none, so that covariances
    of low rank do no harm. nan where anything is not finite."""
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    if not all(x.isfinite().all() for x in (mean_a, cov_a, mean_b, cov_b)):
        return float("nan")
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    product = root @ cov_b @ root
    overlap = torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * overlap
    return max(0.0, float(distance))


def precision_recall(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Share of the generated samples (N, d) that lie in the manifold of the real ones (M, d), and the other way round
    (Kynkäänniemi et al., 2019, arXiv:1904.06991): a sample is in it where some sample of the set is nearer than that
    one's third neighbour in the set."""
    real, fake = real.float(), fake.float()
    return covered(fake, real), covered(real, fake)


def covered(samples: Tensor, of: Tensor) -> float:
    """Share of `samples` inside the ball of at least one sample of the set `of`."""
    radii = neighbour_distances(of)
    inside = [(distances(part, of) <= radii).any(1) for part in samples.split(ROWS)]
    return float(torch.cat(inside).double().mean())


def neighbour_distances(samples: Tensor) -> Tensor:
    """Distance (N,) of each sample to its third nearest other one, or to the farthest where there are fewer."""
    k = min(NEIGHBOUR + 1, len(samples))  # a sample is its own nearest
    return torch.cat([distances(part, samples).kthvalue(k, dim=1).values for part in samples.split(ROWS)])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (N, M), without the cancellation of the quick formula."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
