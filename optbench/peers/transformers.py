"""transformers' Adafactor, with the paper's schedule and a configurable learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from transformers.optimization import Adafactor as Shipped

from optbench.peers import Adapter, Arguments, ParamGroup


class CappedTransformersAdafactor(Shipped):
    """lr caps the relative step, min(lr, 1 / sqrt(t)); the library has this schedule for lr = 0.01 only."""

    @staticmethod
    def _get_lr(param_group: ParamGroup, param_state: dict[str, float]) -> float:
        scale = max(param_group["eps"][1], param_state["RMS"]) if param_group["scale_parameter"] else 1.0
        return scale * min(param_group["lr"], 1 / math.sqrt(param_state["step"]))


def adafactor_arguments(
    *, lr: float, relative_step: bool, scale_parameter: bool, beta1: float | None, decay_power: float, eps1: float,
    eps2: float, clip_threshold: float, weight_decay: float,
) -> Arguments:  # fmt: skip
    """Return the arguments of `adafactor`."""
    named = {"eps": (eps1, eps2), "clip_threshold": clip_threshold, "decay_rate": -decay_power, "beta1": beta1}
    mode = {"scale_parameter": scale_parameter, "relative_step": relative_step, "warmup_init": False}
    return {"lr": lr, "weight_decay": weight_decay, **named, **mode}


def adafactor(params: Iterable[ParamGroup], /, *, relative_step: bool, **arguments: Any) -> Shipped:
    """Build Adafactor with relative steps, or the library's own, with lr as the step."""
    return (CappedTransformersAdafactor if relative_step else Shipped)(params, relative_step=False, **arguments)


Adafactor = Adapter(Shipped, translate=adafactor_arguments, build=adafactor)
