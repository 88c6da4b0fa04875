"""Quadratics, trajectories and hyperparameters shared by the tests of the papers' rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

import numpy as np

AUXILIARY = {"adam_lr": repeat(0.2), "adam_betas": (0.9, 0.99), "adam_eps": 0.0}
MUON = {"lr": repeat(0.1), "momentum": 0.5, "weight_decay": 0.5, **AUXILIARY}
SOPHIA = {"lr": repeat(0.1), "betas": (0.5, 0.75), "rho": 0.5, "eps": 1e-15, "weight_decay": 0.5, "interval": 2}
ADAHESSIAN = {"lr": repeat(0.1), "betas": (0.5, 0.75), "eps": 0.0, "hessian_power": 1.0, "interval": 2}
KFAC = {
    "lr": repeat(0.1), "damping": 0.01, "ema": 0.9, "momentum": 0.0, "weight_decay": 0.0, "interval": 1,
    "kl_clip": None,
}  # fmt: skip
KRON = {
    "lr": repeat(0.1), "momentum": 0.9, "weight_decay": 0.0, "precond_lr": 0.1, "precond_init_scale": 1.0,
    "damping": 0.0, "momentum_into_precond": True, "update_probability": 1.0, "update_min": 0.03, "update_decay": 1e-3,
    "update_flat": 500, "balance": 0.0, "merge_dims": True, "max_size_triangular": 8192, "min_ndim_triangular": 2,
    "memory_save_mode": None,
}  # fmt: skip
SHAMPOO = {"lr": repeat(0.1), "betas": (0.0, 1.0), "eps": 1e-12, "weight_decay": 0.0, "grafting": "none"}
SHAMPOO |= {"start_preconditioning_step": None, "max_preconditioner_dim": 1024}
SOAP = {"shampoo_beta": 0.9, "form": "per_dimension", "max_precondition_dim": 10000}
LBFGS = {"lr": repeat(0.5), "max_iter": 1, "history_size": 2, "tolerance_grad": 1e-7, "tolerance_change": 1e-9}


def arrays(values: Iterable[object]) -> list[np.ndarray]:
    return [np.array(value, dtype=np.float64) for value in values]


def history(steps: Iterator[np.ndarray]) -> list[np.ndarray]:
    """Return copies of theta after each step."""
    return [theta.copy() for theta in steps]


def quadratic(A: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return x A x / 2 - b x of the flattened parameters, with its gradient."""

    def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
        x = np.asarray(theta).reshape(-1)
        return float(x @ A @ x / 2 - b @ x), (A @ x - b).reshape(np.shape(theta))

    return evaluate
