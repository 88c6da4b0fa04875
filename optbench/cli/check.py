"""`optbench check`: conformance of an optimizer, or of all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides
from optbench.cli.output import Output
from optbench.cli.run import load
from optbench.cli.tables import table
from optbench.errors import ConfigError, ExpectationFailed

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


def check(
    overrides: Overrides = None,
    against: Annotated[
        str, typer.Option("--against", metavar="PAPER", help="The paper's rule to compare with, e.g. lion.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Check every optimizer and every implementation.")] = False,
    matrix: Annotated[
        Path | None, typer.Option("-o", "--output", help="With --all: the Markdown file for the matrix.")
    ] = None,
    distributed: Annotated[bool, typer.Option("--distributed", help="Also on two ranks, by DDP and by FSDP2.")] = False,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check an optimizer against its paper: optbench check optimizer=lion

    Exit code 3 if a difference is not declared in the optimizer's file."""
    output = Output(as_json)
    if everything:
        if against:
            raise ConfigError("--all checks every optimizer", "Leave out --against")
        check_all(overrides or [], matrix, distributed, config_dir, output)
        return
    if matrix is not None:
        raise ConfigError("-o writes the matrix of --all", "Say: optbench check --all -o FILE")
    config = load(overrides, config_dir)[1]
    from optbench.checks.run_all import check as examine

    found = examine(config, against, distributed=distributed)
    name, implementation = config.optimizer.name, config.optimizer.settings["impl"]
    findings = [finding.as_dict() for finding in found]
    tree = {"optimizer": name, "implementation": implementation, "findings": findings}
    output.answer(tree, lambda: table(f"{name} by {implementation}", [finding.row() for finding in found]))
    require_none([f"{finding.check} ({finding.detail})" for finding in found if not finding.holds])


def check_all(
    overrides: Sequence[str], matrix_file: Path | None, distributed: bool, config_dir: Path | None, output: Output
) -> None:
    """Check every optimizer of the configuration by every installed implementation."""
    if any(text.startswith("optimizer=") for text in overrides):
        raise ConfigError("--all checks every optimizer", "Leave out optimizer=")
    if matrix_file is not None and not matrix_file.absolute().parent.is_dir():
        raise ConfigError(f"-o {matrix_file}: there is no folder {matrix_file.parent}")
    from optbench.checks import matrix_tables
    from optbench.checks.matrix import check_matrix
    from optbench.checks.run_all import check as examine
    from optbench.checks.run_all import on_ranks
    from optbench.training.provenance import package_versions

    cells = check_matrix(config_dir, overrides, examine, on_ranks if distributed else lambda config: [])
    if matrix_file is not None:
        matrix_file.write_text(matrix_tables.markdown(cells, package_versions()), encoding="utf-8")
        log.info(f"written: {matrix_file}")
    tree = [
        {"optimizer": c.optimizer, "implementation": c.implementation, "findings": [f.as_dict() for f in c.all_results]}
        for c in cells
    ]
    output.answer(tree, lambda: table("checks passed, and those that differ", matrix_tables.rows(cells)))
    require_none(
        [f"{c.optimizer} by {c.implementation}: {f.check}" for c in cells for f in c.all_results if not f.holds]
    )


def require_none(undeclared: Sequence[str]) -> None:
    """Raise ExpectationFailed if a check differs and the difference is not declared."""
    if undeclared:
        shown = "; ".join(undeclared[:4]) + (f"; and {len(undeclared) - 4} more" if len(undeclared) > 4 else "")
        raise ExpectationFailed(
            f"{len(undeclared)} checks failed that are not listed as known differences: {shown}",
            "Declare a known difference under about.differs in the optimizer's file",
        )
