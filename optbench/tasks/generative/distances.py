"""Distances between two sets of feature vectors."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOUR = 3  # the radius around a sample is the distance to this neighbour (Kynkäänniemi et al., 2019)
ROWS = 1024  # samples whose distances are in memory at once


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (d,) and covariance (d, d) of samples (N, d), in float64."""
    x = features.double()
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / max(1, len(x) - 1)


def frechet(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    """Return the squared Fréchet distance of two normal distributions (mean, covariance):

        |m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2 tr((S_a^1/2 S_b S_a^1/2)^1/2)

    Dowson and Landau, 1982; Heusel et al., 2017. Only roots of symmetric matrices are needed, and eigenvalues that
    rounding made negative count as 0, so that covariances may have low rank. Returns NaN if any input is not finite."""
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
    """Return the share of generated samples (N, d) in the manifold of real ones (M, d), and vice versa.

    Kynkäänniemi et al., 2019, arXiv:1904.06991: a sample is in the manifold of a set if it is nearer to some member
    than that member's third neighbour in the set."""
    real, fake = real.float(), fake.float()
    return covered(fake, real), covered(real, fake)


def covered(samples: Tensor, of: Tensor) -> float:
    """Return the share of `samples` inside the ball of at least one sample of the set `of`."""
    radii = neighbour_distances(of)
    inside = [(distances(part, of) <= radii).any(1) for part in samples.split(ROWS)]
    return float(torch.cat(inside).double().mean())


def neighbour_distances(samples: Tensor) -> Tensor:
    """Return the distance (N,) of each sample to its third nearest neighbour, or to the farthest if there are fewer."""
    k = min(NEIGHBOUR + 1, len(samples))  # a sample is its own nearest
    return torch.cat([distances(part, samples).kthvalue(k, dim=1).values for part in samples.split(ROWS)])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances (N, M), without the cancellation of the fast formula."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
