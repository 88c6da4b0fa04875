r"""AdamW with the weight decay of its paper (Loshchilov and Hutter, 2019, Decoupled Weight Decay Regularization,
arXiv:1711.05101, algorithm 2). Wortsman et al. (2023, arXiv:2309.14322) call it independent.

    theta_t = theta_{t-1} - eta_t (alpha m_t / (1 - beta1^t) / (sqrt(v_t / (1 - beta2^t)) + eps) + lambda theta_{t-1})

eta_t is the schedule and alpha the step size, so lr = eta_t alpha, and the decay is weight_decay * lr / peak_lr. In
libraries' AdamW the decay is weight_decay * lr: there lambda = alpha * weight_decay. The peak is the group's lr at
construction, unless the group sets `peak_lr`. Defaults and state are Adam's.
"""

from __future__ import annotations

from optbench.optimizers.adam import AdamW, adam_numbers
from optbench.optimizers.core.rule import ParamGroup


class AdamWIndependent(AdamW):
    """AdamW whose decay per step does not depend on the learning rate."""

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Add a group, with its peak learning rate (part of the state dict)."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("peak_lr", group["lr"])

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return Adam's numbers and 1 - weight_decay * lr / peak_lr; no decay if the peak is 0."""
        schedule = group["lr"] / group["peak_lr"] if group["peak_lr"] else 0.0
        return (*adam_numbers(group, t), 1 - group["weight_decay"] * schedule)
