"""timm's optimizers: every name of its registry as `optimizer=timm/NAME`; its Adafactor and Muon with our settings."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from optbench.errors import ConfigError, MissingError, first_line, nearest
from optbench.peers import KEYWORDS, Adapter, Arguments, ParamGroup, split_matrices

timm_optim = importlib.import_module("timm.optim")  # not `import`: timm's type hints do not export its public names
LOOKAHEAD = "lookahead_"  # timm's prefix for its own Lookahead around another optimizer


def __getattr__(name: str) -> Callable[..., torch.optim.Optimizer]:
    """Return a function that builds the optimizer `name` of timm's registry."""
    if name.removeprefix(LOOKAHEAD) not in timm_optim.list_optimizers():
        raise AttributeError(f"timm has no optimizer '{name}'")
    return functools.partial(build, name)


def describe(name: str) -> dict[str, Any]:
    """Return the settings and facts of an optimizer of timm's registry.

    Raises ConfigError for an unknown name or one that a run cannot drive, MissingError if a package is missing."""
    check_name(name)
    settings = keywords(name)
    second = timm_optim.get_optimizer_info(name.removeprefix(LOOKAHEAD)).second_order
    if second:
        raise ConfigError(
            f"timm/{name} differentiates its gradients, but a run keeps no graph of them",
            "Choose a second-order optimizer of optbench: optbench list optimizers",
        )
    decays = {"no_decay": ["bias", "norm"]} if "weight_decay" in settings else {}
    # groups: []: where timm looks for settings in groups, shapes decide in their absence
    engine = {"cpu": "eager", "cuda": "foreach"} if "foreach" in settings else "eager"
    about = {
        "algorithm": f"timm/{name}",
        "target": f"{__name__}.{name}",
        "implementations": {"timm": {"target": f"{__name__}.{name}", "engine": engine, "groups": []}},
        "needs": [],
        "valid": {"no_decay": "list str"} if decays else {},
    }
    return {"impl": "timm", **settings, **decays, "about": about}


def check_name(name: str) -> None:
    """Raise ConfigError with a suggestion unless timm's registry has the name."""
    known = timm_optim.list_optimizers()
    base = name.removeprefix(LOOKAHEAD)
    if base in known:
        return
    match, prefix = nearest(base, known), LOOKAHEAD if name.startswith(LOOKAHEAD) else ""
    hint = f"Did you mean timm/{prefix}{match}? " if match else ""
    raise ConfigError(
        f"timm/{name}: timm has no optimizer '{name}'",
        f"{hint}timm.optim.list_optimizers() lists {len(known)}; each also exists with the prefix '{LOOKAHEAD}'",
    )


def keywords(name: str) -> dict[str, object]:
    """Return the keyword arguments of `build` for a name, with defaults of timm's class, registry and factory."""
    base = name.removeprefix(LOOKAHEAD)
    info = timm_optim.get_optimizer_info(base)
    factory = inspect.signature(timm_optim.create_optimizer_v2).parameters
    named = plain_defaults(shipped_class(base))
    found = {**named, **(info.defaults or {})}
    for key in ("weight_decay", *(["momentum"] if info.has_momentum else [])):
        if key in named:
            found[key] = factory[key].default
    if name != base:
        found |= {f"lookahead_{key}": value for key, value in plain_defaults(timm_optim.Lookahead).items()}
    return {"lr": None, **{key: list(v) if isinstance(v, tuple) else v for key, v in found.items()}}


def plain_defaults(target: Callable[..., object]) -> dict[str, object]:
    """Return keyword arguments with their defaults: dtypes by name, null for a required argument."""
    parameters = [p for p in list(inspect.signature(target).parameters.values())[1:] if p.kind in KEYWORDS]
    return {p.name: plain(p.default) for p in parameters}


def plain(value: object) -> object:
    """Return a default as YAML can hold it, null if it cannot."""
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value if isinstance(value, (bool, int, float, str, tuple)) else None


def shipped_class(base: str) -> Callable[..., torch.optim.Optimizer]:
    """Return the class of a name of the registry. Raises MissingError with timm's reason if it cannot be used here."""
    try:
        return timm_optim.get_optimizer_class(base, bind_defaults=False)
    except Exception as error:  # timm asserts that bitsandbytes or apex and a GPU are available
        reason = first_line(error) or type(error).__name__
        raise MissingError(f"timm/{base}: {reason}", "Choose an optimizer that needs no package except timm") from error


def build(name: str, params: ParamsT, /, **settings: Any) -> torch.optim.Optimizer:
    """Build the optimizer of a name of the registry, with every argument of its class."""
    base = name.removeprefix(LOOKAHEAD)
    ahead = {key.removeprefix(LOOKAHEAD): settings.pop(key) for key in list(settings) if key.startswith(LOOKAHEAD)}
    target = shipped_class(base)
    defaults = {p.name: p.default for p in inspect.signature(target).parameters.values()}
    typed = {
        key: getattr(torch, value) if isinstance(defaults.get(key), torch.dtype) else value
        for key, value in settings.items()
    }
    optimizer = target(params, **typed)
    return optimizer if name == base else timm_optim.Lookahead(optimizer, **ahead)


class ScaledTimmAdafactor(timm_optim.Adafactor):
    """Parameters scale the step; timm has this for lr = null only."""

    @staticmethod
    def _get_lr(param_group: ParamGroup, param_state: dict[str, float]) -> float:
        scale = max(param_group["eps_scale"], param_state["RMS"]) if param_group["scale_parameter"] else 1.0
        return scale * param_group["lr"]


class CappedTimmAdafactor(ScaledTimmAdafactor):
    """lr caps the relative step too, min(lr, 1 / sqrt(t))."""

    @staticmethod
    def _get_lr(param_group: ParamGroup, param_state: dict[str, float]) -> float:
        capped = min(param_group["lr"], 1 / math.sqrt(param_state["step"]))
        return ScaledTimmAdafactor._get_lr({**param_group, "lr": capped}, param_state)


def adafactor_arguments(
    *, lr: float, relative_step: bool, scale_parameter: bool, beta1: float | None, decay_power: float, eps1: float,
    eps2: float, clip_threshold: float, weight_decay: float,
) -> Arguments:  # fmt: skip
    """Return the arguments of `adafactor`; tensors of every size are factored."""
    named = {"eps": eps1, "eps_scale": eps2, "clip_threshold": clip_threshold, "decay_rate": -decay_power}
    mode = {"relative_step": relative_step, "scale_parameter": scale_parameter, "warmup_init": False}
    rest = {"betas": None if beta1 is None else (beta1, 0.999), "min_dim_size_to_factor": 0, "caution": False}
    return {"lr": lr, "weight_decay": weight_decay, **named, **mode, **rest}


def adafactor(params: ParamsT, /, *, relative_step: bool = True, **arguments: Any) -> torch.optim.Optimizer:
    """Build Adafactor with relative steps, or with lr as the step."""
    return (CappedTimmAdafactor if relative_step else ScaledTimmAdafactor)(params, **arguments)


Adafactor = Adapter(timm_optim.Adafactor, translate=adafactor_arguments, build=adafactor)


def muon_arguments(
    *, lr: float, momentum: float, nesterov: bool, ns_steps: int, scale: str, weight_decay: float,
    matrices: Sequence[str], adam_lr: float, adam_betas: tuple[float, float], adam_eps: float,
) -> Arguments:  # fmt: skip
    """Return Muon's arguments: the author's coefficients; the rest has its own learning rate by group, so no factor."""
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
    groups: Iterable[Mapping[str, Any]], *, matrices: Sequence[str], adam_lr: float, adam_eps: float, **rest: object
) -> list[ParamGroup]:
    """Return groups that declare their rule; the rest follows AdamW without Nesterov momentum, NAdamW with it."""
    chosen, others = split_matrices(groups, matrices)
    adam = {"use_muon": False, "nesterov": False, "lr": adam_lr, "eps": adam_eps}
    return [{**group, "use_muon": True} for group in chosen] + [{**group, **adam} for group in others]


Muon = Adapter(timm_optim.Muon, translate=muon_arguments, regroup=muon_groups)
