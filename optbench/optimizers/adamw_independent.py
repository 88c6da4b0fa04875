r"""AdamW with the weight decay of its paper (Loshchilov and Hutter, 2019, Decoupled Weight Decay Regularization,
arXiv:1711.05101, algorithm 2), which Wortsman et al. (2023, arXiv:2309.14322) call independent.

    theta_t = theta_{t-1} - eta_t (alpha m_t / (1 - beta1^t) / (sqrt(v_t / (1 - beta2^t)) + eps) + lambda theta_{t-1})

eta_t is the schedule and alpha the step size, so that lr = eta_t alpha, and the decay is weight_decay * lr / peak_lr.
In the AdamW of libraries it is weight_decay * lr: there lambda = alpha * weight_decay. The peak is the group's lr when
the optimizer is made, unless `peak_lr` of the group says otherwise. Defaults and state as Adam's.
"""

from __future__ import annotations

from typing import Any

from optbench.optimizers.adam import AdamW, adam_numbers


class AdamWIndependent(AdamW):
    """AdamW whose decay is a share of the weights a step, at whatever learning rate."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """With the group's peak learning rate, which its state dict carries."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("peak_lr", group["lr"])

    def hyperparameters(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """Adam's numbers and 1 - weight_decay * lr / peak_lr; where the peak is 0, nothing decays."""
        schedule = group["lr"] / group["peak_lr"] if group["peak_lr"] else 0.0
        return (*adam_numbers(group, t), 1 - group["weight_decay"] * schedule)
