"""pytorch-optimizer's classes, under their own names. They accept any keyword and read some of them silently."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from optbench.contracts import Parameter, Problem
from optbench.errors import ConfigError
from optbench.peers import Adapter, Arguments, ParamGroup, library, optimizer_class, split_matrices

PACKAGE = "pytorch_optimizer"
HIDDEN = {"Lamb": {"adam_debias": False}}


def __getattr__(name: str) -> Adapter:
    """Return the optimizer of this name. Raises MissingError if the package is not installed."""
    target = optimizer_class(PACKAGE, name)
    hidden, translate = HIDDEN.get(name), TRANSLATED.get(name)
    build = capped(target) if hasattr(target, "get_relative_step_size") else None
    return Adapter(target, hidden=hidden, translate=translate, regroup=REGROUPED.get(name), build=build)


def capped(target: type) -> type:
    """Return the class with a learning rate that caps the relative step, as in Adafactor's paper."""

    def relative_step_size(lr: float, step: int, relative_step: bool, warmup_init: bool) -> float:
        return min(lr, 1 / math.sqrt(step)) if relative_step else lr

    return type(target.__name__, (target,), {"get_relative_step_size": staticmethod(relative_step_size)})


def adafactor_arguments(
    *, lr: float, relative_step: bool, scale_parameter: bool, beta1: float | None, decay_power: float, eps1: float,
    eps2: float, clip_threshold: float, weight_decay: float, foreach: bool,
) -> Arguments:  # fmt: skip
    """Return AdaFactor's arguments: a momentum in float32, not bfloat16."""
    named = {"eps1": eps1, "eps2": eps2, "clip_threshold": clip_threshold, "decay_rate": -decay_power}
    mode = {"scale_parameter": scale_parameter, "relative_step": relative_step, "warmup_init": False}
    rest = {"weight_decouple": True, "fixed_decay": False, "ams_bound": False, "maximize": False}
    momentum = {"betas": (beta1, 0.999), "momentum_dtype": torch.float32}
    return {"lr": lr, "weight_decay": weight_decay, "foreach": foreach, **named, **mode, **rest, **momentum}


def prodigy_arguments(
    *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, d0: float, d_coef: float,
    growth_rate: float | None, safeguard_warmup: bool, use_bias_correction: bool, foreach: bool,
) -> Arguments:  # fmt: skip
    """Return Prodigy's arguments; no limit of the growth is infinity there."""
    named = {"d0": d0, "d_coef": d_coef, "growth_rate": math.inf if growth_rate is None else growth_rate}
    rest = {"beta3": None, "weight_decouple": True, "fixed_decay": False, "bias_correction": use_bias_correction}
    off = {"safeguard_warmup": safeguard_warmup, "maximize": False, "foreach": foreach}
    return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **named, **rest, **off}


def dadapt_adam_arguments(
    *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, d0: float, growth_rate: float | None,
    foreach: bool,
) -> Arguments:  # fmt: skip
    """Return DAdaptAdam's arguments; no limit of the growth is infinity there."""
    named = {"d0": d0, "growth_rate": math.inf if growth_rate is None else growth_rate, "foreach": foreach}
    rest = {"weight_decouple": True, "fixed_decay": False, "bias_correction": False, "maximize": False}
    return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **named, **rest}


def adopt_arguments(
    *, lr: float, betas: tuple[float, float], eps: float, clip_power: float, weight_decay: float, foreach: bool
) -> Arguments:
    """Return ADOPT's arguments; its step count for the clip's bound includes the first step, which moves nothing."""
    rest = {"weight_decouple": True, "fixed_decay": False, "maximize": False, "foreach": foreach}
    bound = {"clip_lambda": lambda step: (step - 1) ** clip_power}
    return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **bound, **rest}


def muon_arguments(
    *, lr: float, momentum: float, nesterov: bool, ns_steps: int, scale: str, weight_decay: float,
    matrices: Sequence[str], adam_lr: float, adam_betas: tuple[float, float], adam_eps: float, foreach: bool,
) -> Arguments:  # fmt: skip
    """Return Muon's arguments: the author's coefficients; the scale "rms" is its adjusted learning rate."""
    newton = {"ns_steps": ns_steps, "ns_coeffs": "original", "ns_method": "newton_schulz", "ns_reset_steps": (2,)}
    common = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "use_adjusted_lr": scale == "rms"}
    adam = {"adamw_lr": adam_lr, "adamw_betas": adam_betas, "adamw_eps": adam_eps, "adamw_wd": weight_decay}
    rest = {"weight_decay": weight_decay, "weight_decouple": True, "maximize": False, "foreach": foreach}
    return {**common, **newton, **adam, **rest}


def normuon_arguments(
    *, lr: float, momentum: float, beta2: float, nesterov: bool, ns_steps: int, scale: str, v_eps: float,
    weight_decay: float, matrices: Sequence[str], adam_lr: float, adam_betas: tuple[float, float], adam_eps: float,
    foreach: bool,
) -> Arguments:  # fmt: skip
    """Return NorMuon's arguments: "original" keeps the norm, as its authors' code does; "rms" is the paper's."""
    update = {"original": "preserve_norm", "rms": "match_rms"}[scale]
    newton = {"ns_steps": ns_steps, "ns_coeffs": "original", "update_scale": update, "use_adjusted_lr": False}
    common = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "beta2": beta2, "eps": v_eps}
    adam = {"adamw_lr": adam_lr, "adamw_betas": adam_betas, "adamw_eps": adam_eps, "adamw_wd": weight_decay}
    rest = {"weight_decay": weight_decay, "weight_decouple": True, "maximize": False, "foreach": foreach}
    return {**common, **newton, **adam, **rest}


def muon_groups(groups: Iterable[Mapping[str, Any]], *, matrices: Sequence[str], **rest: object) -> list[ParamGroup]:
    """Return groups that declare if they hold matrices to orthogonalise."""
    chosen, others = split_matrices(groups, matrices)
    return [{**group, "use_muon": True} for group in chosen] + [{**group, "use_muon": False} for group in others]


def kron_arguments(
    *, lr: float, momentum: float, weight_decay: float, precond_dtype: str | None,
    max_size_triangular: int, min_ndim_triangular: int, memory_save_mode: str | None,
) -> Arguments:  # fmt: skip
    """Return Kron's arguments.

    Its own schedule of updates is our default one; another would be a function in its state. It balances by chance from
    NumPy's global generator, which no checkpoint holds: never here, since balancing leaves the steps as they are."""
    sizes = {"max_size_triangular": max_size_triangular, "min_ndim_triangular": min_ndim_triangular}
    learn = {"momentum_into_precondition_update": True, "balance_prob": 0.0}
    dtype = {"precondition_dtype": getattr(torch, precond_dtype or "float32"), "mu_dtype": None}
    rest = {"weight_decouple": True, "pre_conditioner_update_probability": None, "maximize": False}
    common = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "memory_save_mode": memory_save_mode}
    return {**common, **sizes, **learn, **dtype, **rest}


def scion_arguments(
    *, lr: float, momentum: float, constrained: bool, radius: float, embedding_radius: float, head_radius: float,
    hidden_norm: str, first_norm: str, embedding_norm: str, head_norm: str, ns_steps: int, foreach: bool,
) -> Arguments:  # fmt: skip
    """Return SCION's arguments: its momentum is the new gradient's weight; norms and radii are its groups'."""
    new = round(1 - momentum, 12)  # 0.1, not 0.09999999999999998
    rest = {"weight_decay": 0.0, "weight_decouple": True, "maximize": False, "foreach": foreach}
    return {"lr": lr, "momentum": new, "constraint": constrained, **rest}


def scion_groups(
    problem: Problem, *, radius: float, embedding_radius: float, head_radius: float, hidden_norm: str,
    first_norm: str, embedding_norm: str, head_norm: str, ns_steps: int, **rest: object,
) -> list[ParamGroup]:  # fmt: skip
    """Return groups with the norm and the radius of each kind of parameter."""
    norms = {"embedding": embedding_norm, "head": head_norm, "first": first_norm}
    radii = {"embedding": embedding_radius, "head": head_radius}
    codes = library(f"{PACKAGE}.optimizer.scion").LMONorm
    groups: dict[str, ParamGroup] = {}
    for parameter in problem.parameters:
        role = "head" if (parameter.role, embedding_norm) == ("embedding", "head") else parameter.role
        oracle, options = scion_norm(parameter, role, norms.get(role, hidden_norm))
        steps = {"num_steps": ns_steps} if oracle.startswith("SPECTRAL") else {}
        code, scale = int(codes[oracle]), radius if oracle == "BIAS" else radii.get(role, radius)  # no Enum in a file
        group = {"params": [], "norm_type": code, "norm_kwargs": {**options, **steps}, "scale": scale}
        groups.setdefault(f"{role} {oracle}", group)["params"].append(parameter.tensor)
    return list(groups.values())


def scion_norm(parameter: Parameter, role: str, norm: str) -> tuple[str, dict[str, bool]]:
    """Return the name of SCION's norm and its options. Raises ConfigError where its norm is another than ours."""
    ndim, is_table = parameter.tensor.ndim, role == "embedding"
    if ndim < 2:
        return "BIAS", {}
    if role not in ("bias", "norm"):
        if ndim > 2 and norm == "spectral" and not is_table:
            return "SPECTRALCONV", {}
        if ndim == 2 or (norm == "sign" and is_table):
            transposed = {"normalized": not is_table, "transpose": is_table}
            return {
                "spectral": ("SPECTRAL", {"normalize": not is_table, "max_scale": role == "first"}),
                "sign": ("SIGN", {"normalize": not is_table}),
                "column": ("COL", transposed),
                "row": ("ROW", transposed),
            }[norm]
    raise ConfigError(
        f"pytorch_optimizer's SCION has another norm than ours for {parameter.name}, with {ndim} dimensions",
        "Use optimizer.impl=optbench",
    )


TRANSLATED: dict[str, Callable[..., Arguments]] = {
    "AdaFactor": adafactor_arguments,
    "ADOPT": adopt_arguments,
    "DAdaptAdam": dadapt_adam_arguments,
    "Kron": kron_arguments,
    "Muon": muon_arguments,
    "NorMuon": normuon_arguments,
    "Prodigy": prodigy_arguments,
    "SCION": scion_arguments,
}
REGROUPED: dict[str, Callable[..., list[ParamGroup]]] = {
    "Muon": muon_groups,
    "NorMuon": muon_groups,
    "SCION": scion_groups,
}
