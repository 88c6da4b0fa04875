r"""APOLLO and APOLLO-Mini (Zhu et al., 2024, APOLLO: SGD-like Memory, AdamW-level Performance, arXiv:2412.05270,
algorithm 1, as in the authors' code, github.com/zhuhanqing/APOLLO): SGD whose channels (or tensors) have the step sizes
that Adam would have taken on a random projection of the gradient.

For a matrix G (m, n) with m >= n, and a Gaussian P (n, r) of variance 1 / r:
    R       = G_t P                                                         (m, r)
    m_t     = beta1 m_{t-1} + (1 - beta1) R;   v_t = beta2 v_{t-1} + (1 - beta2) R^2
    A       = m_t / (sqrt(v_t) + eps)
    S       = G_t |A| / (|R| + 1e-8)               norms of rows ("channel"), or of all ("tensor", APOLLO-Mini)
    S       = S / max(1, |S| / (norm_growth (|S_{t-1}| + 1e-8)))    where |S_{t-1}| > 0: its norm grows no faster
    theta_t = (1 - lr weight_decay) (theta_{t-1} - lr sqrt(scale (1 - beta2^t)) / (1 - beta1^t) S)

One with m < n is transposed. r = rank, else ceil(rank_fraction n); at most n. P is drawn from torch.Generator on the
parameter's device with a seed, and drawn again in every step, so that it needs no memory. The seed is the number of the
matrix among the optimizer's parameters (from 1); after every `projection_interval` steps it becomes the last of 15
random integers drawn from it. So it follows from t, and a resumed run goes on as it would have.

Beside the authors' code: a norm of zero does not limit the next one, as a matrix with a zero gradient would hardly
move any more. Their scale_front (scale before the limit) is the same but for the 1e-8. Convolutions are flattened to
(outputs, rest); their code takes linear layers only. The parameters whose role is not in `matrices` follow AdamW with
the same lr, betas and eps, with eps added to the uncorrected root, and decay after the step. Defaults: betas
(0.9, 0.999), eps 1e-6, norm_growth 1.01. State: m and v, of m r floats each, and |S| for matrices; m and v for the
rest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.adam import adam_numbers
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack, stacked_matrices
from optbench.optimizers.core.linear_algebra import at_least_float32, norms
from optbench.optimizers.core.matrix_rules import MatrixRuleOptimizer, kept
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State, bucketed

NORM_EPS = 1e-8
DRAWS = 15  # random integers from one seed to the next


@bucketed
def apollo(
    thetas: list[Tensor], gradients: list[Tensor], ms: list[Tensor], vs: list[Tensor], last: list[Tensor],
    seeds: list[int], step: float, new1: float, new2: float, eps: float, keep: float, growth: float, scale_type: str,
) -> None:  # fmt: skip
    """Take one step of a bucket in place.

    step = lr sqrt(scale (1 - beta2^t)) / (1 - beta1^t), new = 1 - beta, keep = 1 - lr * weight_decay."""
    g = at_least_float32(stacked_matrices(gradients))
    tall = g.shape[1] >= g.shape[2]
    g = g if tall else g.mT
    low = g @ projections(seeds, g.shape[2], ms[0].shape[1], tall, g)
    foreach.lerp_(ms, rows_like(low, ms), new1)
    foreach.lerp_(vs, rows_like(low.square(), vs), new2)
    adam = stack(ms, g.dtype) / (stack(vs, g.dtype).sqrt() + eps)
    scaled = g * (lengths(adam, scale_type) / (lengths(low, scale_type) + NORM_EPS))
    scaled = limited(scaled, last, growth)
    foreach.sub_(thetas, rows_like(scaled if tall else scaled.mT, thetas), step)
    foreach.mul_(thetas, keep)


def projections(seeds: Sequence[int], side: int, rank: int, tall: bool, like: Tensor) -> Tensor:
    """Return a Gaussian matrix for each seed, (k, side, rank), of variance 1 / rank.

    They are drawn in float32 and, for tall matrices, transposed, as the authors' code does."""
    shape = (len(seeds), rank, side) if tall else (len(seeds), side, rank)
    drawn = torch.empty(shape, dtype=torch.float32, device=like.device)
    generator = torch.Generator(like.device)
    for row, seed in zip(drawn, seeds, strict=True):
        row.normal_(generator=generator.manual_seed(seed))
    drawn = (drawn / math.sqrt(rank)).to(like.dtype)
    return drawn.mT if tall else drawn


def limited(scaled: Tensor, last: list[Tensor], growth: float) -> Tensor:
    """Return matrices (k, m, n) whose norms are at most `growth` times the last ones; update these."""
    before, size = stack(last, scaled.dtype).view(-1, 1, 1), norms(scaled)
    excess = (size / ((before + NORM_EPS) * growth)).clamp(min=1.0)
    excess = torch.where(before > 0, excess, torch.ones_like(excess))
    foreach.copy_(last, rows_like(size / excess, last))
    return scaled / excess


def lengths(matrices: Tensor, scale_type: str) -> Tensor:
    """Return the norms of matrices (k, m, r): of their rows ("channel", (k, m, 1)) or of all ("tensor", (k, 1, 1))."""
    return torch.linalg.vector_norm(matrices, dim=2, keepdim=True) if scale_type == "channel" else norms(matrices)


@functools.lru_cache(maxsize=1 << 16)
def next_seed(seed: int) -> int:
    """Return the seed after this one."""
    draws = torch.randint(torch.iinfo(torch.int64).max, (DRAWS,), generator=torch.Generator().manual_seed(seed))
    return int(draws[-1])


@functools.lru_cache(maxsize=1 << 12)
def seed_of(number: int, renewals: int) -> int:
    """Return the seed of the matrix with this number after so many renewals."""
    seed = number
    for _ in range(renewals):
        seed = next_seed(seed)
    return seed


class APOLLO(MatrixRuleOptimizer):
    """Gradients scaled by Adam on random projections for matrices, AdamW for the rest."""

    matrix_rule: Rule = staticmethod(apollo)

    def __init__(
        self,
        problem: Problem,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        rank: int | None,
        rank_fraction: float,
        projection_interval: int,
        scale_type: str,
        scale: float,
        norm_growth: float | None,
        matrices: Sequence[str],
        no_decay: Sequence[str],
        engine: str = "auto",
    ) -> None:
        super().__init__(
            problem,
            lr=lr,
            weight_decay=weight_decay,
            matrices=matrices,
            no_decay=no_decay,
            adam_lr=lr,
            adam_betas=betas,
            adam_eps=eps,
            engine=engine,
        )
        ranks = {"rank": rank, "rank_fraction": rank_fraction, "projection_interval": projection_interval}
        growth = math.inf if norm_growth is None else norm_growth
        self.add_settings(**ranks, scale_type=scale_type, scale=scale, norm_growth=growth)
        self._numbers_of: dict[Tensor, int] = {}

    def matrix_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return m and v of the projection, and the norm of the last step's S."""
        short, long = sorted((len(theta), math.prod(theta.shape[1:])))
        rank = min(group["rank"] or math.ceil(group["rank_fraction"] * short), short)
        return {"m": theta.new_zeros(long, rank), "v": theta.new_zeros(long, rank), "norm": theta.new_zeros(())}

    def own_values(self, theta: Tensor, group: ParamGroup, t: int) -> tuple[int, ...]:
        """Return the seed of a matrix."""
        if group["rule"] == "rest":
            return ()
        if theta not in self._numbers_of:
            every = (theta for group in self.param_groups for theta in group["params"])
            self._numbers_of = {theta: number for number, theta in enumerate(every, 1)}
        return (seed_of(self._numbers_of[theta], (t - 1) // group["projection_interval"]),)

    def matrix_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr sqrt(scale (1 - beta2^t)) / (1 - beta1^t), 1 - beta of both, eps, 1 - lr * weight_decay, growth and
        kind of scale."""
        step, new1, new2, _ = adam_numbers(group, t)
        numbers = step * math.sqrt(group["scale"]), new1, new2, group["eps"], kept(group)
        return *numbers, group["norm_growth"], group["scale_type"]

    def rest_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return AdamW's numbers such that eps is added to the uncorrected root, and decay follows the step."""
        step, new1, new2, _ = adam_numbers(group, t)
        return step * kept(group), new1, new2, group["eps"], kept(group)
