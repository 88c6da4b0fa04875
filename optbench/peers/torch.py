"""torch.optim's optimizers that say our settings in other words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from optbench.peers import Adapter, matrices_and_rest


def adafactor_arguments(
    *, lr: float, decay_power: float, eps1: float, eps2: float, clip_threshold: float, weight_decay: float,
    foreach: bool, maximize: bool,
) -> dict[str, Any]:  # fmt: skip
    """torch's lr is the cap of the relative step too; it bounds the second moment by eps1 from below instead of adding
    it, and decays by lr * weight_decay."""
    named = {"eps": (eps1, eps2), "beta2_decay": -decay_power, "d": clip_threshold}
    return {"lr": lr, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize, **named}


Adafactor = Adapter(torch.optim.Adafactor, translate=adafactor_arguments)


class Muon:
    """torch.optim.Muon for the matrices, which takes two dimensions alone, and torch.optim.AdamW for the rest."""

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
        chosen, rest = matrices_and_rest(params, matrices)
        off = {"amsgrad": False, "maximize": False, "capturable": False, "differentiable": False, "foreach": False}
        adam = {"lr": adam_lr, "betas": adam_betas, "eps": adam_eps, "weight_decay": weight_decay, "fused": True}
        self.parts: dict[str, torch.optim.Optimizer] = {}
        if chosen:
            self.parts["matrices"] = torch.optim.Muon(chosen, **self.theirs({**ours, **newton}))
        if rest:
            self.parts["rest"] = torch.optim.AdamW(rest, **adam, **off)

    optbench_target = torch.optim.Muon

    @staticmethod
    def theirs(arguments: Mapping[str, Any]) -> dict[str, Any]:
        """torch.optim.Muon's arguments from ours."""
        same = ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps")
        adjust = {"original": "original", "rms": "match_rms_adamw"}[arguments["scale"]]
        return {**{name: arguments[name] for name in same}, "adjust_lr_fn": adjust}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for part in self.parts.values() for group in part.param_groups]

    @property
    def state(self) -> dict[torch.Tensor, Any]:
        """That of both."""
        return {tensor: state for part in self.parts.values() for tensor, state in part.state.items()}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both; the closure is evaluated once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts.values():
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of both."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Both, by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Both, by name."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
