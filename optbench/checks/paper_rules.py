"""The rules in `papers/` by name, and the hyperparameters that they receive."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import itertools
import pkgutil
from collections.abc import Sequence

from optbench import config as configuration
from optbench.checks import papers
from optbench.checks.papers import Rates, Rule
from optbench.checks.subject import Facts
from optbench.errors import ConfigError

SCHEDULE = "schedule"  # what a rule calls the schedule's factors, where it needs them beside its rates


def paper_rule(name: str) -> Rule | None:
    """Return the generator function of `papers/NAME.py`, or None without such a file."""
    module = f"{papers.__name__}.{name}"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        return None
    return importlib.import_module(module).paper


def paper_names() -> list[str]:
    """Return the names of the optimizers' rules in `papers/`, without those of modifiers."""
    modifiers = configuration.options(configuration.config_folders(None), "modifier")
    return [module.name for module in pkgutil.iter_modules(papers.__path__) if module.name not in modifiers]


def hyperparameters(
    rule: Rule, settings: Facts, name: str, factors: Sequence[float] | None = None
) -> dict[str, object]:
    """Return a rule's hyperparameters: those in `settings`, else those of optimizer=NAME.

    Rates get one value per step: constant, or scaled by each of `factors`. Raises ConfigError if one is in neither."""
    absent = absent_hyperparameters(rule, settings)
    spare = default_settings(name) if absent else {}
    missing = [key for key in absent if key not in spare]
    if missing:
        raise ConfigError(f"the rule of '{name}' needs {', '.join(missing)}, which the optimizer does not have")
    values = {key: settings[key] if key in settings else spare[key] for key in types_of(rule) if key != SCHEDULE}
    return with_rates(rule, values, factors)


def with_rates(rule: Rule, values: Facts, factors: Sequence[float] | None = None) -> dict[str, object]:
    """Return hyperparameters with one value per step for every rate, and the factors themselves for `schedule`."""
    types = types_of(rule)
    plain = {**values, SCHEDULE: 1.0} if SCHEDULE in types else values
    return {key: rates(value, factors) if types[key] == Rates else value for key, value in plain.items()}


def rates(peak: float, factors: Sequence[float] | None) -> Rates:
    """Return the rate of each step."""
    return itertools.repeat(peak) if factors is None else [peak * factor for factor in factors]


def types_of(rule: Rule) -> dict[str, object]:
    """Return the types of a rule's hyperparameters by name."""
    parameters = inspect.signature(rule, eval_str=True).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}


def absent_hyperparameters(rule: Rule, settings: Facts) -> list[str]:
    """Return the rule's hyperparameters that are not in `settings`."""
    return [key for key in types_of(rule) if key not in settings and key != SCHEDULE]


def default_settings(name: str) -> Facts:
    """Return the settings of optimizer=NAME, or of the first optimizer whose `about.reference` is this paper."""
    known = configuration.options(configuration.config_folders(None), "optimizer")
    if name not in known:
        name = next(option for option in known if optimizer_about(option).get("reference") == name)
    return configuration.load([f"optimizer={name}"]).optimizer.settings


def optimizer_about(name: str) -> Facts:
    """Return the `about` facts of an optimizer's file."""
    file = configuration.find_option(configuration.config_folders(None), "optimizer", name)
    return configuration.read_yaml(file).get("about", {}) if file else {}
