"""torch.optim's optimizers whose arguments have other names than ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from optbench.peers import Adapter, Arguments, ParamGroup, split_matrices


def adafactor_arguments(
    *, lr: float, decay_power: float, eps1: float, eps2: float, clip_threshold: float, weight_decay: float,
    foreach: bool, maximize: bool,
) -> Arguments:  # fmt: skip
    """Return Adafactor's arguments.

    torch's lr is the cap of the relative step too. torch bounds the second moment by the square of its eps1 from below
    instead of adding eps1, and decays by lr * weight_decay. The square of 1e-30 would be 0 in float32: NaN for a row of
    zero gradients."""
    named = {"eps": (eps1**0.5, eps2), "beta2_decay": -decay_power, "d": clip_threshold}
    return {"lr": lr, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize, **named}


Adafactor = Adapter(torch.optim.Adafactor, translate=adafactor_arguments)


class Muon:
    """torch.optim.Muon for the matrices (two dimensions only), and torch.optim.AdamW for the rest."""

    def __init__(
        self,
        params: Iterable[Mapping[str, Any]],
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        ns_steps: int,
        scale: str,
        weight_decay: float,
        matrices: Sequence[str],
        adam_lr: float,
        adam_betas: tuple[float, float],
        adam_eps: float,
        ns_coefficients: tuple[float, float, float],
        eps: float,
    ) -> None:
        ours = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "scale": scale}
        newton = {"weight_decay": weight_decay, "ns_coefficients": ns_coefficients, "eps": eps}
        chosen, rest = split_matrices(params, matrices)
        adam: Arguments = {"lr": adam_lr, "betas": adam_betas, "eps": adam_eps, "weight_decay": weight_decay}
        adam |= {"amsgrad": False, "maximize": False, "capturable": False, "differentiable": False}
        adam |= {"foreach": False, "fused": True}
        self.parts: dict[str, torch.optim.Optimizer] = {}
        if chosen:
            self.parts["matrices"] = torch.optim.Muon(chosen, **self.library_arguments({**ours, **newton}))
        if rest:
            self.parts["rest"] = torch.optim.AdamW(rest, **adam)

    optbench_target = torch.optim.Muon

    @staticmethod
    def library_arguments(ours: Mapping[str, Any]) -> Arguments:
        """Return torch.optim.Muon's arguments from ours."""
        same = ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps")
        adjust = {"original": "original", "rms": "match_rms_adamw"}[ours["scale"]]
        return {**{name: ours[name] for name in same}, "adjust_lr_fn": adjust}

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups of both optimizers."""
        return [group for part in self.parts.values() for group in part.param_groups]

    @property
    def state(self) -> dict[torch.Tensor, dict[str, torch.Tensor]]:
        """The state of both optimizers, by parameter."""
        return {tensor: state for part in self.parts.values() for tensor, state in part.state.items()}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of both optimizers; evaluate the closure once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts.values():
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return both state dicts, by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore both states."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
