"""The dadaptation package's DAdaptAdam with decoupled decay, about which its constructor prints a line."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from typing import Any

from optbench.peers import Adapter, Arguments, optimizer_class


def __getattr__(name: str) -> Adapter:
    """Return the optimizer of this name. Raises MissingError if the package is not installed."""
    target = optimizer_class("dadaptation", name)
    return Adapter(target, translate=dadapt_adam_arguments, build=silent(target))


def dadapt_adam_arguments(
    *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, d0: float, growth_rate: float | None
) -> Arguments:
    """Return DAdaptAdam's arguments; no limit of the growth is infinity there."""
    growth = math.inf if growth_rate is None else growth_rate
    rest = {"decouple": True, "use_bias_correction": False, "log_every": 0, "fsdp_in_use": False}
    return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "d0": d0, "growth_rate": growth, **rest}


def silent(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return the constructor without its printed lines."""

    def build(*args: Any, **kwargs: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return target(*args, **kwargs)

    return build
