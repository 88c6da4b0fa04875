"""`optbench bench`: speed and memory against the alternatives.

A bench is a module of `optbench.benches` with `measure(config, **settings)`, which returns a report, and
`lines(report)`, its text. The settings are given as key=value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides
from optbench.cli.output import Output
from optbench.cli.run import load
from optbench.errors import ConfigError

Setting = str | int | float


def bench(
    what: Annotated[str, typer.Argument(help="A bench, e.g. loop or step")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure speed or memory against the alternatives, side by side in one process: optbench bench loop model=vit"""
    import importlib
    import inspect
    import pkgutil

    import optbench.benches

    output = Output(as_json)
    known = [module.name for module in pkgutil.iter_modules(optbench.benches.__path__) if not module.ispkg]
    if what not in known:
        raise ConfigError(f"bench {what}: unknown bench", f"Choose from {', '.join(known)}")
    module = importlib.import_module(f"optbench.benches.{what}")
    parameters = inspect.signature(module.measure).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    settings, rest = split_settings(overrides or [], defaults)
    report = module.measure(load(rest, config_dir)[1], **settings)
    output.lines(report, module.lines(report))


def split_settings(overrides: Sequence[str], defaults: Mapping[str, Setting]) -> tuple[dict[str, Setting], list[str]]:
    """Return the bench's own settings, each of the type of its default, and the other overrides."""
    settings, rest = {}, []
    for override in overrides:
        key, _, text = override.partition("=")
        if key not in defaults:
            rest.append(override)
            continue
        try:
            settings[key] = type(defaults[key])(text)
        except ValueError:
            expected = "a whole number" if isinstance(defaults[key], int) else "a number"
            raise ConfigError(f"{override}: expected {expected}", f"Default: {key}={defaults[key]}") from None
    return settings, rest
