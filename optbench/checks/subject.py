"""The optimizer under check, built for any tensors as a run would build it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from optbench.config import RunConfig, imports
from optbench.contracts import Curvature, Parameter, Problem
from optbench.optimizers.core.build import build, shipped_arguments, shipped_target
from optbench.optimizers.core.eval_weights import lends_weights
from optbench.sessions.assemble import modified

ROLE_BY_RANK = ("bias", "bias", "matrix", "matrix", "convolution")
USER = "user"  # the implementation of an optimizer that has no file of ours


@dataclass(frozen=True)
class Subject:
    """An optimizer with its settings and modifiers. `against` names its paper; `settings` stand over the file's."""

    config: RunConfig
    against: str
    paper_about: Mapping[str, Any] = field(default_factory=dict)
    """The facts of the file of the algorithm that it is held against."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    shipped: bool = False
    """Built with the learning rate and the weight decay alone: everything else as the library has it."""

    def having(self, **settings: Any) -> Subject:
        """The same with other values of those settings that it has."""
        known = {key: value for key, value in settings.items() if key in self.all_settings}
        return replace(self, settings={**self.settings, **known})

    def without_modifiers(self) -> Subject:
        """The optimizer itself."""
        return replace(self, config=replace(self.config, modifiers=()))

    @property
    def all_settings(self) -> dict[str, Any]:
        """Every setting with its value in this check."""
        return {**self.config.optimizer.settings, **self.settings}

    @property
    def about(self) -> Mapping[str, Any]:
        """The facts of the optimizer's file."""
        return self.config.optimizer.about

    @property
    def implementation(self) -> Mapping[str, Any]:
        """The facts of the chosen implementation."""
        return self.config.optimizer.implementation

    @property
    def is_users_own(self) -> bool:
        """Whether no file of ours describes it."""
        return self.config.optimizer.settings["impl"] == USER

    @property
    def needs(self) -> list[str]:
        """What it is fed beside gradients; a user's own is taken to need what its paper does."""
        return list((self.paper_about if self.is_users_own else self.about).get("needs", []))

    @property
    def invariances(self) -> Mapping[str, Mapping[str, Any]]:
        """What its theory promises, by name, with the settings at which it holds."""
        promised = self.about.get("invariant", self.paper_about.get("invariant", ()))
        return promised if isinstance(promised, Mapping) else {name: {} for name in promised}

    def fact(self, name: str, default: Any = None) -> Any:
        """A fact of the implementation, else of the optimizer."""
        return self.implementation.get(name, self.about.get(name, default))

    def declared(self, check: str) -> str:
        """What the files say about a difference in this check, or ""."""
        said = {**self.about.get("differs", {}), **self.implementation.get("differs", {})}
        for modifier in self.config.modifiers:
            said |= modifier.implementation.get("differs", {})
        return str(said.get(check, ""))

    def build(
        self,
        thetas: Sequence[Tensor],
        modules: Mapping[str, nn.Module] | None = None,
        curvature: Curvature | None = None,
    ) -> Any:
        """An optimizer of these tensors, whose roles follow from their rank. Raises ConfigError."""
        named = [(f"theta{i}", theta, ROLE_BY_RANK[min(theta.ndim, 4)]) for i, theta in enumerate(thetas)]
        problem = Problem(tuple(Parameter(*triple) for triple in named), modules or {}, curvature)
        choice, needs = self.config.optimizer, list(self.about.get("needs", []))
        target, settings = imports.load(choice.target), self.all_settings
        if self.shipped:
            arguments = shipped_arguments(settings, self.implementation, target)
            return in_training(build(shipped_target(target), arguments, {}, problem, needs))
        return modified(build(target, settings, self.implementation, problem, needs), self.config, choice)


def in_training(optimizer: Any) -> Any:
    """The optimizer with its training weights in place, where it must be told."""
    if lends_weights(optimizer):
        optimizer.train()
    return optimizer


def subject_of(config: RunConfig, against: str = "") -> Subject:
    """The subject of a configuration: every tensor is decayed alike, and what makes it comparable is set
    (`about.exact`)."""
    choice = config.optimizer
    subject = Subject(config, against or str(choice.about.get("reference", choice.about["algorithm"])))
    exact = {**choice.about.get("exact", {}), **choice.implementation.get("exact", {})}
    fixed = choice.implementation.get("requires", {})
    return subject.having(no_decay=[], **{key: value for key, value in exact.items() if key not in fixed})
