"""`optbench check`: conformance of an optimizer, or of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice, loaded
from optbench.cli.tables import table
from optbench.errors import ConfigError, NotHeld

if TYPE_CHECKING:
    from optbench.checks.result import CheckResult
    from optbench.config import RunConfig


def check(
    overrides: Sequence[str],
    *,
    against: str,
    everything: bool,
    output: Path | None,
    distributed: bool,
    config_dir: Path | None,
    as_json: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """`optbench check optimizer=NAME`, or `--all`. Raises NotHeld (exit 3) where something differs undeclared."""
    if everything:
        check_all(overrides, against, output, distributed, config_dir, as_json, notice, emit)
        return
    if output is not None:
        raise ConfigError("-o writes the matrix of --all", "Say: optbench check --all -o FILE")
    _, config = loaded(overrides, config_dir, notice)
    from optbench.checks.run_all import check as examine

    found = [*examine(config, against), *(on_ranks(config) if distributed else [])]
    name = f"{config.optimizer.name} by {config.optimizer.settings['impl']}"
    tree = {"optimizer": config.optimizer.name, "implementation": config.optimizer.settings["impl"]}
    tree |= {"findings": [finding.as_dict() for finding in found]}
    emit(as_json, tree, lambda: table(name, [row(finding) for finding in found]))
    refuse([f"{finding.check} ({finding.detail})" for finding in found if not finding.holds])


def check_all(
    overrides: Sequence[str],
    against: str,
    output: Path | None,
    distributed: bool,
    config_dir: Path | None,
    as_json: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """Every optimizer of the configuration by every implementation that is installed."""
    if against or any(text.startswith("optimizer=") for text in overrides):
        raise ConfigError("--all checks every optimizer", "Leave out optimizer= and --against")
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}")
    from optbench.checks import matrix, matrix_tables
    from optbench.checks.run_all import check as examine
    from optbench.training.provenance import package_versions

    cells = matrix.check_matrix(config_dir, overrides, examine, notice, on_ranks if distributed else lambda config: [])
    if output is not None:
        output.write_text(matrix_tables.markdown(cells, package_versions()), encoding="utf-8")
        notice(f"written to {output}")
    tree = [
        {"optimizer": c.optimizer, "implementation": c.implementation, "findings": [f.as_dict() for f in c.all_results]}
        for c in cells
    ]
    emit(as_json, tree, lambda: table("checks passed, and those that differ", matrix_tables.rows(cells)))
    refuse([f"{c.optimizer} by {c.implementation}: {f.check}" for c in cells for f in c.all_results if not f.holds])


def on_ranks(config: RunConfig) -> list[CheckResult]:
    """The findings on two ranks."""
    from optbench.checks.ranks import distributed

    return list(distributed(config))


def row(finding: CheckResult) -> dict[str, Any]:
    """A finding as a row of the table."""
    declared = f" [declared: {finding.declared}]" if finding.declared else ""
    return {"check": finding.check, "state": finding.state, "detail": finding.detail + declared}


def refuse(unexpected: Sequence[str]) -> None:
    """NotHeld unless everything is as it should be."""
    if unexpected:
        shown = "; ".join(unexpected[:4]) + (f"; and {len(unexpected) - 4} more" if len(unexpected) > 4 else "")
        raise NotHeld(f"not as declared: {shown}", "Declare what is known under about.differs in the optimizer's file")
