"""transformers' Adafactor, with the paper's schedule and a configurable learning rate."""

from __future__ import annotations

import math

from transformers.optimization import Adafactor as Shipped

from optbench.peers import Adapter, Arguments, ParamGroup


class CappedTransformersAdafactor(Shipped):
    """lr caps the relative step, min(lr, 1 / sqrt(t)); the library has this schedule for lr = 0.01 only."""

    @staticmethod
    def _get_lr(param_group: ParamGroup, param_state: dict[str, float]) -> float:
        scale = max(param_group["eps"][1], param_state["RMS"]) if param_group["scale_parameter"] else 1.0
        return scale * min(param_group["lr"], 1 / math.sqrt(param_state["step"]))


def adafactor_arguments(
    *, lr: float, decay_power: float, eps1: float, eps2: float, clip_threshold: float, weight_decay: float
) -> Arguments:
    """Return the arguments, without momentum."""
    named = {"eps": (eps1, eps2), "clip_threshold": clip_threshold, "decay_rate": -decay_power, "beta1": None}
    manual = {"scale_parameter": True, "relative_step": False, "warmup_init": False}
    return {"lr": lr, "weight_decay": weight_decay, **named, **manual}


Adafactor = Adapter(Shipped, translate=adafactor_arguments, build=CappedTransformersAdafactor)
