"""`optbench bench`: speed and memory against the alternatives.

A bench is a module of `optbench.benches` with `measure(config, **settings)`, which returns a report, and
`lines(report)`, its text. `SETTINGS`, if the module has any, are the defaults of its settings, given as key=value.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides
from optbench.cli.output import Output
from optbench.cli.run import load
from optbench.errors import ConfigError


def bench(
    what: Annotated[str, typer.Argument(help="A bench, e.g. loop or step")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure speed or memory against the alternatives, side by side in one process: optbench bench loop model=vit"""
    import optbench.benches

    output = Output(as_json)
    known = [module.name for module in pkgutil.iter_modules(optbench.benches.__path__) if not module.ispkg]
    if what not in known:
        raise ConfigError(f"bench {what}: unknown bench", f"Known: {', '.join(known)}")
    module = importlib.import_module(f"optbench.benches.{what}")
    settings, rest = split_settings(overrides or [], getattr(module, "SETTINGS", {}))
    report = module.measure(load(rest, config_dir)[1], **settings)
    output.lines(report, module.lines(report))


def split_settings(overrides: Sequence[str], defaults: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the bench's own settings, each of the type of its default, and the other overrides."""
    own = {key: text for key, _, text in (override.partition("=") for override in overrides) if key in defaults}
    rest = [override for override in overrides if override.partition("=")[0] not in defaults]
    try:
        return {key: type(default)(own.get(key, default)) for key, default in defaults.items()}, rest
    except ValueError as error:
        raise ConfigError(f"a setting of the bench cannot be read: {error}") from error
