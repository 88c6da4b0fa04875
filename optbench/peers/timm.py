"""timm's optimizers: every name of its registry as `optimizer=timm/NAME`, and its Adafactor under the paper's lr."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import timm.optim
import torch

from optbench.errors import ConfigError, MissingError, first_line, nearest
from optbench.peers import KEYWORDS, Adapter, matrices_and_rest

AHEAD = "lookahead_"  # timm's prefix for its own Lookahead around another optimizer


def __getattr__(name: str) -> Any:
    """What builds the optimizer that timm's registry calls `name`."""
    if name.removeprefix(AHEAD) not in timm.optim.list_optimizers():
        raise AttributeError(f"timm has no optimizer '{name}'")
    return functools.partial(build, name)


def describe(name: str) -> dict[str, Any]:
    """The settings of a name of timm's registry, with the facts about it. Raises ConfigError for an unknown name or
    one that a run cannot drive, MissingError where timm lacks what it wraps."""
    check(name)
    settings = keywords(name)
    second = timm.optim.get_optimizer_info(name.removeprefix(AHEAD)).second_order
    if second:
        raise ConfigError(
            f"timm/{name} differentiates the gradients that it is given, and a run keeps no graph of them",
            "Take an optimizer of optbench's own that does so: optbench list optimizers",
        )
    decays = {"no_decay": ["bias", "norm"]} if "weight_decay" in settings else {}
    engine = {"cpu": "eager", "cuda": "foreach"} if "foreach" in settings else "eager"
    about = {
        "algorithm": f"timm/{name}",
        "target": f"{__name__}.{name}",
        "implementations": {"timm": {"target": f"{__name__}.{name}", "engine": engine}},
        "needs": [],
        "valid": {"no_decay": "list str"} if decays else {},
    }
    return {"impl": "timm", **settings, **decays, "about": about}


def check(name: str) -> None:
    """ConfigError with a suggestion unless timm's registry has the name."""
    known = timm.optim.list_optimizers()
    base = name.removeprefix(AHEAD)
    if base in known:
        return
    match, prefix = nearest(base, known), AHEAD if name.startswith(AHEAD) else ""
    hint = f"Did you mean timm/{prefix}{match}? " if match else ""
    raise ConfigError(
        f"timm/{name}: timm has no optimizer '{name}'",
        f"{hint}timm.optim.list_optimizers() names {len(known)}, and '{AHEAD}' may stand before each",
    )


def keywords(name: str) -> dict[str, Any]:
    """The keyword arguments that `build` takes for a name, with the defaults of timm's class, registry and factory."""
    base = name.removeprefix(AHEAD)
    info = timm.optim.get_optimizer_info(base)
    factory = inspect.signature(timm.optim.create_optimizer_v2).parameters
    named = plain_defaults(shipped_class(base))
    found = {**named, **(info.defaults or {})}
    for key in ("weight_decay", *(["momentum"] if info.has_momentum else [])):
        if key in named:
            found[key] = factory[key].default
    if name != base:
        found |= {f"lookahead_{key}": value for key, value in plain_defaults(timm.optim.Lookahead).items()}
    return {"lr": None, **{key: list(v) if isinstance(v, tuple) else v for key, v in found.items()}}


def plain_defaults(target: Any) -> dict[str, Any]:
    """Keyword arguments with their defaults: dtypes by name, a required one without any as null."""
    parameters = [p for p in list(inspect.signature(target).parameters.values())[1:] if p.kind in KEYWORDS]
    return {p.name: plain(p.default) for p in parameters}


def plain(value: Any) -> Any:
    """A default as YAML can hold it."""
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value if isinstance(value, (bool, int, float, str, tuple)) else None


def shipped_class(base: str) -> Any:
    """The class of a name of the registry. Raises MissingError with timm's reason where it cannot be had here."""
    try:
        return timm.optim.get_optimizer_class(base, bind_defaults=False)
    except Exception as error:  # timm asserts that bitsandbytes or apex, and a GPU, are there
        reason = first_line(error) or type(error).__name__
        raise MissingError(f"timm/{base}: {reason}", "Take an optimizer that needs no package beside timm") from error


def build(name: str, params: Any, /, **settings: Any) -> torch.optim.Optimizer:
    """The optimizer of a name of the registry, with every argument of its class."""
    base = name.removeprefix(AHEAD)
    ahead = {key.removeprefix(AHEAD): settings.pop(key) for key in list(settings) if key.startswith(AHEAD)}
    target = shipped_class(base)
    defaults = {p.name: p.default for p in inspect.signature(target).parameters.values()}
    typed = {
        key: getattr(torch, value) if isinstance(defaults.get(key), torch.dtype) else value
        for key, value in settings.items()
    }
    optimizer = target(params, **typed)
    return optimizer if name == base else timm.optim.Lookahead(optimizer, **ahead)


class CappedAdafactor(timm.optim.Adafactor):
    """lr caps the relative step, min(lr, 1 / sqrt(t)), and parameters scale it; timm has this for lr = null alone."""

    @staticmethod
    def _get_lr(param_group: dict[str, Any], param_state: dict[str, Any]) -> float:
        scale = max(param_group["eps_scale"], param_state["RMS"]) if param_group["scale_parameter"] else 1.0
        return scale * min(param_group["lr"], 1 / math.sqrt(param_state["step"]))


def adafactor_arguments(
    *, lr: float, decay_power: float, eps1: float, eps2: float, clip_threshold: float, weight_decay: float
) -> dict[str, Any]:
    """Without momentum; tensors of every size are factored."""
    named = {"eps": eps1, "eps_scale": eps2, "clip_threshold": clip_threshold, "decay_rate": -decay_power}
    rest = {"betas": None, "scale_parameter": True, "warmup_init": False, "min_dim_size_to_factor": 0}
    return {"lr": lr, "weight_decay": weight_decay, "caution": False, **named, **rest}


Adafactor = Adapter(timm.optim.Adafactor, translate=adafactor_arguments, build=CappedAdafactor)


def muon_arguments(
    *, lr: float, momentum: float, nesterov: bool, ns_steps: int, scale: str, weight_decay: float,
    matrices: Sequence[str], adam_lr: float, adam_betas: tuple[float, float], adam_eps: float,
) -> dict[str, Any]:  # fmt: skip
    """The author's coefficients. The rest has a learning rate of its own by group, hence no factor."""
    adjust = {"original": "original", "rms": "match_rms_adamw"}[scale]
    newton = {
        "ns_steps": ns_steps,
        "ns_coefficients": "original",
        "eps": 1e-7,
        "safety_factor": 1.0,
        "scale_eps": False,
    }
    common = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, "betas": adam_betas}
    shape = {"adjust_lr_fn": adjust, "conv_mode": "flatten", "normalize_spatial": False, "algo": "muon"}
    rest = {"adamw_lr": None, "fallback_lr_scale": 1.0, "capturable": False, "verbose": False}
    return {**common, **newton, **shape, **rest}


def muon_groups(
    groups: Iterable[Mapping[str, Any]], *, matrices: Sequence[str], adam_lr: float, adam_eps: float, **rest: Any
) -> list[dict[str, Any]]:
    """Each group says what it follows; without Nesterov's momentum the rest follows AdamW, with it NAdamW."""
    chosen, others = matrices_and_rest(groups, matrices)
    adam = {"use_muon": False, "nesterov": False, "lr": adam_lr, "eps": adam_eps}
    return [{**group, "use_muon": True} for group in chosen] + [{**group, **adam} for group in others]


Muon = Adapter(timm.optim.Muon, translate=muon_arguments, regroup=muon_groups)
