"""The optimizer under check, built for any tensors in the same way as in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from optbench.config import RunConfig, imports
from optbench.contracts import Curvature, Parameter, Problem
from optbench.optimizers.core.build import build
from optbench.optimizers.core.eval_weights import has_eval_weights
from optbench.optimizers.core.shipped import shipped_arguments, shipped_target
from optbench.sessions.compatible import with_modifiers

ROLE_BY_RANK = ("bias", "bias", "matrix", "matrix", "convolution")
OWN_SCHEDULE = "own_schedule"  # the declared need of an optimizer that allows only a constant learning rate
USER = "user"  # the implementation of an optimizer without a file in conf/optimizer
Facts = Mapping[str, Any]
"""Values from a YAML file."""


@dataclass(frozen=True)
class Subject:
    """The optimizer under check, with its settings and modifiers."""

    config: RunConfig
    against: str
    """The name of the paper's rule, as in papers/NAME.py."""
    paper_about: Facts = field(default_factory=dict)
    """The `about` facts of the optimizer that implements this rule."""
    settings: Facts = field(default_factory=dict)
    """Settings that override those of the configuration."""
    shipped: bool = False
    """True to set learning rate and weight decay only and leave the rest to the library's defaults."""

    def with_settings(self, **settings: object) -> Subject:
        """Return a copy with new values for those of these settings that the optimizer has."""
        known = {key: value for key, value in settings.items() if key in self.all_settings}
        return replace(self, settings={**self.settings, **known})

    def with_exact_modifiers(self) -> Subject:
        """Return a copy whose modifiers have the settings that their files name for a check (`about.exact`)."""
        exact = [replace(m, settings={**m.settings, **m.about.get("exact", {})}) for m in self.config.modifiers]
        return replace(self, config=replace(self.config, modifiers=tuple(exact)))

    def without_modifiers(self) -> Subject:
        """Return a copy without modifiers."""
        return replace(self, config=replace(self.config, modifiers=()))

    @property
    def all_settings(self) -> Facts:
        """Every setting with its value in this check."""
        return {**self.config.optimizer.settings, **self.settings}

    @property
    def about(self) -> Facts:
        """The facts of the optimizer's file."""
        return self.config.optimizer.about

    @property
    def implementation(self) -> Facts:
        """The facts of the chosen implementation."""
        return self.config.optimizer.implementation

    @property
    def is_users_own(self) -> bool:
        """True for a user's class without a file in conf/optimizer."""
        return self.config.optimizer.settings["impl"] == USER

    @property
    def needs(self) -> list[str]:
        """The declared needs beside gradients; for a user's own optimizer, those of its paper."""
        return list((self.paper_about if self.is_users_own else self.about).get("needs", []))

    @property
    def invariances(self) -> Mapping[str, Facts]:
        """The invariances that the theory promises, by name, with the settings under which they hold."""
        promised = self.about.get("invariant", self.paper_about.get("invariant", ()))
        return promised if isinstance(promised, Mapping) else {name: {} for name in promised}

    def fact(self, name: str, default: Any) -> Any:
        """Return a fact of the implementation, or else of the optimizer."""
        return self.implementation.get(name, self.about.get(name, default))

    def declared_difference(self, check: str) -> str:
        """Return the difference that the files declare for a check, or ""."""
        declared = {**self.about.get("differs", {}), **self.implementation.get("differs", {})}
        for modifier in self.config.modifiers:
            declared |= modifier.implementation.get("differs", {})
        return str(declared.get(check, ""))

    def build(
        self,
        thetas: Sequence[Tensor],
        modules: Mapping[str, nn.Module] | None = None,
        curvature: Curvature | None = None,
    ) -> Any:
        """Build the optimizer for these tensors; their number of dimensions sets their roles. Raises ConfigError.

        No tensor is part of an attention."""
        named = [(f"theta{i}", theta, ROLE_BY_RANK[min(theta.ndim, 4)]) for i, theta in enumerate(thetas)]
        problem = Problem(tuple(Parameter(*triple) for triple in named), modules or {}, curvature)
        choice, needs = self.config.optimizer, list(self.about.get("needs", []))
        target = imports.load(choice.target)
        if self.shipped:
            arguments = shipped_arguments(self.all_settings, self.implementation, target)
            optimizer: Any = build(shipped_target(target), arguments, {}, problem, needs)
            if has_eval_weights(optimizer):
                optimizer.train()
            return optimizer
        made = build(target, self.all_settings, self.implementation, problem, needs)
        return with_modifiers(made, self.config, choice, problem.parameters, heads=())


def make_subject(config: RunConfig, against: str = "") -> Subject:
    """Return the subject of a configuration, at the settings that make it comparable with the paper.

    These are the same weight decay for every tensor and the values of `about.exact`."""
    choice = config.optimizer
    subject = Subject(config, against or str(choice.about.get("reference", choice.about["algorithm"])))
    exact = {**choice.about.get("exact", {}), **choice.implementation.get("exact", {})}
    required = choice.implementation.get("requires", {})
    return subject.with_settings(no_decay=[], **{key: value for key, value in exact.items() if key not in required})
