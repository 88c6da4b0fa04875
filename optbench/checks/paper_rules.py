"""The rules in `papers/` by name, and the hyperparameters that they receive."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil

from optbench import config as configuration
from optbench.checks import papers
from optbench.checks.papers import Rule
from optbench.checks.subject import Facts
from optbench.errors import ConfigError


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


def hyperparameters(rule: Rule, settings: Facts, name: str) -> dict[str, object]:
    """Return a rule's hyperparameters: those in `settings`, else those of optimizer=NAME.

    Raises ConfigError if one is in neither."""
    absent = absent_hyperparameters(rule, settings)
    spare = default_settings(name) if absent else {}
    missing = [key for key in absent if key not in spare]
    if missing:
        raise ConfigError(f"the rule of '{name}' needs {', '.join(missing)}, which the optimizer does not have")
    return {key: settings[key] if key in settings else spare[key] for key in keyword_names(rule)}


def keyword_names(rule: Rule) -> list[str]:
    """Return the names of a rule's hyperparameters."""
    return [p.name for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY]


def absent_hyperparameters(rule: Rule, settings: Facts) -> list[str]:
    """Return the rule's hyperparameters that are not in `settings`."""
    return [key for key in keyword_names(rule) if key not in settings]


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
