"""`optbench targets`: the values of validation metrics that count as trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice
from optbench.cli.sweep import How, print_summary, report, run_study, show_plan, statuses_of
from optbench.cli.tables import table
from optbench.config import Composition, config_folders, find_option, options, packaged_folder, parse_sweep, read_yaml
from optbench.config.files import short_path
from optbench.config.target import FOLDER
from optbench.errors import ConfigError, NotHeld, OptbenchError
from optbench.store import check_study, explained, results_root

if TYPE_CHECKING:
    from optbench.sweeps.scheduler.scheduler import Conductor
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study


def set_(
    model: str,
    overrides: Sequence[str],
    given: Mapping[str, Any],
    how: How,
    output: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """`optbench targets set`. The file is written before NotHeld (exit 3) says that some run failed."""
    from optbench.sweeps import targets

    asked, cells = study_of(model, overrides, given, how)
    root = results_root(how.results_dir)
    if dry_run:
        show_plan(asked, cells, root, how, as_json, notice, emit)
        return
    file = targets.file_of(destination(output, how.config_dir), cells[0])
    with explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)  # what cannot be written is said before anything is run
    conductor = run_study(
        asked,
        cells,
        root,
        jobs=how.jobs,
        per_device=how.per_device,
        retry=statuses_of(how.retry),
        quiet=quiet or as_json,
        notice=notice,
    )
    conclude(conductor, file, as_json, notice, emit)


def study_of(model: str, overrides: Sequence[str], given: Mapping[str, Any], how: How) -> tuple[Study, list[Cell]]:
    """The study that sets a target, and its cells; its runs have none themselves."""
    from optbench.sweeps import targets
    from optbench.sweeps.study.cells import expand
    from optbench.sweeps.study.study import make_study

    for text in overrides:
        if text.partition("=")[0].lstrip("+") in ("model", "target", "stop_at_target"):
            raise ConfigError(f"{text}: has no place where a target is set", "Say: optbench targets set MODEL")
    if how.jobs is not None and how.jobs < 1:
        raise ConfigError(f"--jobs {how.jobs}: expected at least one")
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
        raise ConfigError("--seeds 0: a target is what reruns come to", "Say --seeds 1 or more")
    cells = expand(asked, how.config_dir)
    targets.check_one_workload(cells)
    return asked, cells


def destination(output: Path | None, config_dir: Path | None) -> Path:
    """The configuration folder that the file is written to: the one given, the user's, or that of a checkout."""
    if output is not None:
        return output.expanduser()
    folders = config_folders(config_dir)
    if len(folders) > 1:
        return folders[0]
    packaged = packaged_folder()
    if (packaged.parent / "pyproject.toml").is_file() and os.access(packaged, os.W_OK):
        return packaged
    raise ConfigError(
        f"{packaged}: targets of an installed package are not rewritten", "Give a folder of yours: --config-dir FOLDER"
    )


def conclude(conductor: Conductor, file: Path, as_json: bool, notice: Notice, emit: Emit) -> None:
    """Write the target, and say what the study came to."""
    from optbench.sweeps import targets
    from optbench.sweeps.display import summary

    try:
        target, before = targets.write(file, targets.tree_of(conductor))
    except NotHeld:
        if conductor.refusals:  # e.g. data that is not here: that is what is to be mended
            raise conductor.refusals[0] from None
        if not as_json:
            print_summary(summary.tree_of(conductor))
        raise
    if before and before.get("workload_sha256") != target["workload_sha256"]:
        notice(f"{file} held the target of other settings of the model or the data, which now has none")

    def both(as_json: bool, tree: Mapping[str, Any], human: Any) -> None:
        emit(
            as_json, {"file": str(file), "target": target, "sweep": tree}, lambda: (human(), print_target(file, target))
        )

    report(conductor, as_json, both, notice)


def print_target(file: Path, target: Mapping[str, Any]) -> None:
    """What was set."""
    direction = "at least" if target["direction"] == "max" else "at most"
    test = f"test {direction} {target['test_value']:g}" if target["test_value"] is not None else "no test value"
    print(
        f"target   validation {target['metric']} {direction} {target['value']:g}, {test}; {target['reached']} of "
        f"{target['procedure']['seeds']} reruns of {target['best']['optimizer']} reached it; version "
        f"{target['version']}\nfile     {file}"
    )


def list_(config_dir: Path | None, as_json: bool, emit: Emit) -> None:
    """`optbench targets list`."""
    folders = config_folders(config_dir)
    rows = [row(folders, name, config_dir) for name in options(folders, FOLDER)]
    emit(
        as_json, rows, lambda: table("targets", rows) if rows else print("no target is set: optbench targets set MODEL")
    )


def row(folders: Sequence[Path], name: str, config_dir: Path | None) -> dict[str, Any]:
    """A target's file in a line."""
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
    """Whether the workload as it is by default has the target of its file."""
    model, _, data = name.partition("-")
    try:
        config = Composition([f"model={model}", f"data={data}"], config_dir).run_config()
    except OptbenchError as error:
        return f"no: {error.args[0]}"
    return "yes" if config.target_source else "no: its settings have changed"
