r"""NorMuon (Li et al., 2025, NorMuon: Making Muon more efficient and scalable, arXiv:2510.05491, algorithm 1): Muon
that divides each row (neuron) of the orthogonalised matrix by its root mean square over time.

    O_t     = Muon's orthogonalised momentum (m, n), see muon
    v_t     = beta2 v_{t-1} + (1 - beta2) mean over columns of O_t^2                  (one number a row)
    N_t     = O_t / (sqrt(v_t) + v_eps)
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr factor N_t / (|N_t| + v_eps)

factor: "original", as in the authors' code, sqrt(max(1, m / n)) |O_t|; "rms", as in the paper, 0.2 sqrt(m n).
Convolutions are flattened to (outputs, rest), so that a row is an output channel; the authors' code takes a row of each
kernel. The other parameters follow AdamW as in Muon. Defaults: momentum 0.95, beta2 0.95, ns_steps 5, v_eps 1e-10.
State: b and one number a row for matrices, m and v for the rest.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack
from optbench.optimizers.core.foreach import Number
from optbench.optimizers.core.linear_algebra import norms
from optbench.optimizers.core.newton_schulz import Iteration
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State, bucketed
from optbench.optimizers.muon import Muon, orthogonalised, shape_factor


@bucketed
def normuon(
    thetas: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], seconds: list[Tensor], lr: Number,
    momentum: Number, keep: Number, nesterov: bool, cautious_momentum: bool, iteration: Iteration, scale: str,
    beta2: Number, v_eps: Number,
) -> None:  # fmt: skip
    """Take one step of a bucket in place; a second moment has a number for each row; keep = 1 - lr * weight_decay."""
    matrices = orthogonalised(gradients, momenta, momentum, nesterov, cautious_momentum, iteration).to(thetas[0].dtype)
    foreach.lerp_(seconds, list(matrices.square().mean(2).unbind()), 1 - beta2)
    normed = matrices / (stack(seconds).sqrt() + v_eps).unsqueeze(2)
    length = (
        shape_factor(matrices, scale) * norms(matrices) if scale == "original" else 0.2 * math.sqrt(normed[0].numel())
    )
    foreach.mul_(thetas, keep)
    foreach.sub_(thetas, rows_like(normed.mul_(length / (norms(normed) + v_eps)), thetas), lr)


class NorMuon(Muon):
    """Orthogonalised momentum with rows of equal size for matrices, AdamW for the rest."""

    matrix_rule: Rule = staticmethod(normuon)

    def __init__(self, problem: Problem, *, beta2: float, v_eps: float, **settings: Any) -> None:
        super().__init__(problem, **settings)
        self.add_settings(beta2=beta2, v_eps=v_eps)

    def matrix_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return a moment and a number a row."""
        return {**super().matrix_state(theta, group), "v": theta.new_zeros(len(theta))}

    def matrix_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return Muon's numbers, beta2 and v_eps."""
        return *super().matrix_numbers(group, t), group["beta2"], group["v_eps"]
