"""The check results of every optimizer in every implementation that is installed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench import config as configuration
from optbench.checks.result import DIFFERS, NOT_APPLICABLE, PASS, CheckResult
from optbench.checks.subject import Facts
from optbench.config import RunConfig

log = logging.getLogger(__name__)

AS_SHIPPED = "as_shipped"  # the check of a library's defaults


@dataclass(frozen=True)
class MatrixCell:
    """The results of one implementation of one optimizer."""

    optimizer: str
    implementation: str
    results: Sequence[CheckResult]
    rank_results: Sequence[CheckResult] = ()
    """Results on two ranks; empty unless asked for."""

    @property
    def all_results(self) -> list[CheckResult]:
        """Results on one and on two ranks."""
        return [*self.results, *self.rank_results]

    @property
    def holds(self) -> bool:
        """True if every result is expected."""
        return all(result.holds for result in self.all_results)

    @property
    def passed(self) -> int:
        """Number of passed checks on one rank."""
        return sum(result.state == PASS for result in self.results)

    @property
    def differing(self) -> list[str]:
        """The checks on one rank that differ, except that of the library's defaults."""
        return [r.check for r in self.results if r.state == DIFFERS and r.check != AS_SHIPPED]

    @property
    def differs_as_shipped(self) -> bool:
        """True if the library's defaults give another rule."""
        return any(r.state == DIFFERS and r.check == AS_SHIPPED for r in self.results)

    @property
    def refused_on_ranks(self) -> list[CheckResult]:
        """The strategies that a run on two ranks refuses, with the reasons."""
        return [result for result in self.rank_results if result.state == NOT_APPLICABLE]


def matrix_configs(config_dir: Path | None, overrides: Sequence[str], only: str = "") -> Iterator[RunConfig]:
    """Yield the configuration of every optimizer (or `only` one) in every installed implementation.

    The settings are those that the implementation requires."""
    for name in [only] if only else configuration.options(configuration.config_folders(config_dir), "optimizer"):
        about = configuration.load([*overrides, f"optimizer={name}"], config_dir).optimizer.about
        for impl, facts in about["implementations"].items():
            if installed(facts):
                required = facts.get("requires", {}).items()
                settings = [f"optimizer.{key}={configuration.as_typed(value)}" for key, value in required]
                words = [*overrides, f"optimizer={name}", f"optimizer.impl={impl}", *settings]
                yield configuration.load(words, config_dir)


def installed(facts: Facts) -> bool:
    """Return True if the package of an implementation can be imported."""
    path = facts["target"].split(".")
    module = path[2] if path[:2] == ["optbench", "peers"] else path[0]  # peers/NAME.py adapts the module NAME
    return importlib.util.find_spec(module) is not None


def check_matrix(
    config_dir: Path | None,
    overrides: Sequence[str],
    check: Callable[[RunConfig], list[CheckResult]],
    check_ranks: Callable[[RunConfig], list[CheckResult]] = lambda config: [],
) -> list[MatrixCell]:
    """Return the results of every optimizer and implementation.

    `check_ranks` runs for an optimizer's default implementation only: the exchange between ranks is our code."""
    cells = []
    configs = list(matrix_configs(config_dir, overrides))
    for number, config in enumerate(configs, 1):
        name, impl = config.optimizer.name, config.optimizer.settings["impl"]
        default = configuration.load([f"optimizer={name}"], config_dir).optimizer.settings["impl"]
        cell = MatrixCell(name, impl, check(config), check_ranks(config) if impl == default else [])
        unexpected = [result.check for result in cell.all_results if not result.holds]
        log.info(f"[{number}/{len(configs)}] {name} by {impl}: {', '.join(unexpected) or 'as declared'}")
        cells.append(cell)
    return cells
