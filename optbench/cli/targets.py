"""`optbench targets`: the values of validation metrics that count as trained."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides, ResultsDir
from optbench.cli.output import Output, print_lines
from optbench.cli.sweep import print_summary, raise_for_failures, show_plan
from optbench.cli.tables import table
from optbench.errors import ConfigError, ExpectationFailed, OptbenchError
from optbench.files import expanded
from optbench.sweeps.options import SweepOptions
from optbench.sweeps.outcome import result_tree
from optbench.sweeps.start import run_study

if TYPE_CHECKING:
    from optbench.sweeps.scheduler.scheduler import Scheduler
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study

log = logging.getLogger(__name__)


def set_(
    model: Annotated[str, typer.Argument(help="A model, e.g. mlp")],
    overrides: Overrides = None,
    trials: options.Trials = None,
    seeds: options.Seeds = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Share of the workload's budget.")] = None,
    study: options.SweepStudy = None,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    retry: options.Retry = "",
    folder: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; the file goes to its target/.  [default: conf]")
    ] = None,
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Set a workload's target by AlgoPerf's procedure: tune four standard optimizers, rerun the best one.

    Defaults: conf/protocol/targets.yaml. If some run failed, the file is written and the exit code is 3."""
    output = Output(as_json, quiet)
    given = {"trials": trials, "seeds": seeds, "budgets": None if budget is None else [budget]}
    how = SweepOptions(None, None, study, jobs, per_device, "local", options.split(retry), results_dir, config_dir)
    asked, cells = study_of(model, overrides or [], given, how)
    if dry_run:
        show_plan(asked, cells, how, output)
        return
    from optbench.store import storage_errors
    from optbench.sweeps import target_file

    file = target_file.path_of(destination(folder, how.config_dir), cells[0])
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)  # fail before the runs if it cannot be written
    conclude(run_study(asked, cells, how, progress=output.shows_progress), file, output)


def study_of(
    model: str, overrides: Sequence[str], given: Mapping[str, Any], how: SweepOptions
) -> tuple[Study, list[Cell]]:
    """Return the study that sets a target, and its cells. Its own runs have no target."""
    from optbench.config import Composition, parse_sweep
    from optbench.store import check_study
    from optbench.sweeps import targets
    from optbench.sweeps.study.expand import planned
    from optbench.sweeps.study.study import make_study

    for text in overrides:
        if text.partition("=")[0].lstrip("+") in ("model", "target", "stop_at_target"):
            raise ConfigError(f"{text}: not allowed when setting a target", "Use: optbench targets set MODEL")
    words = [f"model={model}", *overrides]
    names = Composition(parse_sweep(words, how.config_dir).fixed, how.config_dir).names
    asked = make_study(
        [*words, "target=none"],
        given,
        protocol=targets.PROTOCOL,
        name=how.study or f"target-{names['model']}-{names['data']}",
        config_dir=how.config_dir,
    )
    check_study(asked.name)
    if asked.seeds < 1:
        raise ConfigError("--seeds 0: a target needs final runs", "Use --seeds 1 or more")
    asked, cells = planned(asked, how.config_dir)
    targets.check_one_workload(cells)
    return asked, cells


def destination(output: Path | None, config_dir: Path | None) -> Path:
    """Return the configuration folder for the file: the given one, the user's, or that of a checkout."""
    from optbench.config import config_folders, packaged_folder

    if output is not None:
        return expanded(output)
    folders = config_folders(config_dir)
    if len(folders) > 1:
        return folders[0]
    packaged = packaged_folder()
    if (packaged.parent / "pyproject.toml").is_file() and os.access(packaged, os.W_OK):
        return packaged
    raise ConfigError(
        f"{packaged}: the installed package is not modified", "Name a folder of your own: --config-dir FOLDER"
    )


def conclude(scheduler: Scheduler, file: Path, output: Output) -> None:
    """Write the target and print the result of the study."""
    from optbench.sweeps import target_file, targets
    from optbench.sweeps.display import summary

    try:
        target, before = target_file.write(file, targets.target_of(scheduler))
    except ExpectationFailed:
        if scheduler.refusals:  # e.g. missing data: that is the cause to mend
            raise scheduler.refusals[0] from None
        if not output.as_json:
            print_summary(summary.summary_of(scheduler))
        raise
    if before and before.get("workload_sha256") != target["workload_sha256"]:
        log.warning(f"{file}: replaced a target that was set for other model or data settings")
    tree = result_tree(scheduler)
    whole = {"file": str(file), "target": target, "sweep": tree}
    output.answer(whole, lambda: (print_summary(tree), print_target(file, target)))
    raise_for_failures(scheduler, tree)


def print_target(file: Path, target: Mapping[str, Any]) -> None:
    """Print the new target."""
    direction = "at least" if target["direction"] == "max" else "at most"
    test = f"test {direction} {target['test_value']:g}" if target["test_value"] is not None else "no test value"
    reruns = f"{target['procedure']['seeds']} reruns of {target['best']['optimizer']}"
    found = f"validation {target['metric']} {direction} {target['value']:g}, {test}"
    print_lines(
        [
            f"target   {found}; {target['reached']} of {reruns} reached it; version {target['version']}",
            f"file     {file}",
        ]
    )


def list_(config_dir: ConfigDir = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """List the workloads that have a target, and whether their settings are still those it was set for."""
    from optbench.config import config_folders
    from optbench.config import options as names_in
    from optbench.config.target import FOLDER

    folders = config_folders(config_dir)
    rows = [row(folders, name, config_dir) for name in names_in(folders, FOLDER)]
    Output(as_json).answer(
        rows, lambda: table("targets", rows) if rows else print("No target is set: optbench targets set MODEL")
    )


def row(folders: Sequence[Path], name: str, config_dir: Path | None) -> dict[str, Any]:
    """Return the row of one target file."""
    from optbench.config import find_option, read_yaml
    from optbench.config.files import short_path
    from optbench.config.target import FOLDER

    file: Path = find_option(folders, FOLDER, name)  # type: ignore[assignment]
    tree = read_yaml(file)
    asked = ("metric", "direction", "value", "test_value", "steps", "batch_size", "version", "device")
    return {
        "workload": name,
        **{key: tree.get(key) for key in asked},
        "holds": holds(name, config_dir),
        "file": short_path(file, folders),
    }


def holds(name: str, config_dir: Path | None) -> str:
    """Return "yes" if the workload with its default settings has the target of its file, else why not."""
    from optbench.config import Composition

    model, _, data = name.partition("-")
    try:
        config = Composition([f"model={model}", f"data={data}"], config_dir).run_config()
    except OptbenchError as error:
        return f"no: {error.message}"
    return "yes" if config.target_source else "no: its settings have changed"
