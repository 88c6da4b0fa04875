"""The authors' Prodigy (prodigyopt)."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

from optbench.peers import Adapter, Arguments, optimizer_class


def __getattr__(name: str) -> Adapter:
    """Return the optimizer of this name. Raises MissingError if the package is not installed."""
    target = optimizer_class("prodigyopt", name)

    def silent(*groups: Any, **arguments: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it decays
            return target(*groups, **arguments)

    return Adapter(target, translate=prodigy_arguments, build=silent)


def prodigy_arguments(
    *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, d0: float, d_coef: float,
    growth_rate: float | None, safeguard_warmup: bool, use_bias_correction: bool,
) -> Arguments:  # fmt: skip
    """Return Prodigy's arguments; no limit of the growth is infinity there."""
    named = {"d0": d0, "d_coef": d_coef, "growth_rate": math.inf if growth_rate is None else growth_rate}
    safe = {"safeguard_warmup": safeguard_warmup, "use_bias_correction": use_bias_correction}
    rest = {"beta3": None, "decouple": True, "fsdp_in_use": False, "slice_p": 1}
    return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **named, **safe, **rest}
