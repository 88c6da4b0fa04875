"""`optbench run`: one training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides, ResultsDir
from optbench.cli.output import Output
from optbench.errors import ExpectationFailed

if TYPE_CHECKING:
    from optbench.config import Composition, RunConfig
    from optbench.store import RunFolder

log = logging.getLogger(__name__)
COMPARED = ("adamw", "lion")  # what a run is to be compared with next: the first that it is not


def run(
    overrides: Overrides = None,
    study: Annotated[str, typer.Option("--study", help="Study that the run belongs to.")] = "runs",
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start over; files of an earlier run, finished or not, are kept aside.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build what would be trained, show it, and stop.")] = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Train once: optbench run optimizer=lion model=vit"""
    from optbench.records import Status
    from optbench.store import RunFolder, check_study, results_root

    output = Output(as_json, quiet)
    config = load(overrides, config_dir)[1]
    root = results_root(results_dir)
    check_study(study)
    folder = RunFolder(root, study, config.run_id)
    if dry_run:
        show_plan(config, root, folder, output)
        return
    from optbench.sessions.execute import execute
    from optbench.sessions.sinks import sinks_for
    from optbench.trackers.summary import summary_lines

    ended = execute(config, root, study=study, force=force, sinks=sinks_for(config, progress=output.shows_progress))
    if ended.rank:
        return
    if ended.was_there:
        log.warning(f"{config.run_id} is already finished; showing the stored result (--force runs it again)")
    tree = {**ended.result, "folder": str(ended.folder)}
    succeeded = Status(ended.result["status"]).succeeded
    comparing = [f"  {'next':<12} {compared(overrides or [], config)}"] if succeeded and not quiet else []
    output.lines(tree, [*summary_lines(ended.run, ended.result, ended.folder), *comparing])
    if not succeeded:
        raise ExpectationFailed(f"the run ended as {ended.result['status']}: {ended.result['reason']}")


def compared(words: Sequence[str], config: RunConfig) -> str:
    """Return the command that tunes the run's optimizer beside another one, on the same workload."""
    import shlex

    typed = {word.partition("=")[0]: word for word in words}
    name = typed.get("optimizer", f"optimizer={config.optimizer.name}").partition("=")[2]
    other = next(one for one in COMPARED if one != name)
    kept = [word for key, word in typed.items() if key.partition(".")[0] not in ("optimizer", "seed", "study")]
    return shlex.join(["optbench", "sweep", f"optimizer={name},{other}", *kept])


def show_plan(config: RunConfig, root: Path, folder: RunFolder, output: Output) -> None:
    """Build what the run would train, and print its plan and its sizes. Raises the errors that the run would raise."""
    from optbench.sessions.sizes import size_lines, sizes_of
    from optbench.store import finished_run

    if config.init_run is not None:
        finished_run(root, config.init_run)
    finished, sizes = folder.result() is not None, sizes_of(config, root)
    tree = {"run_id": config.run_id, "folder": str(folder.path), "ended": finished, "config": config.as_dict()}
    output.lines({**tree, "sizes": sizes}, [*plan_lines(config, folder, finished), *size_lines(sizes)])


def load(overrides: Sequence[str] | None, config_dir: Path | None) -> tuple[Composition, RunConfig]:
    """Return the composition and its configuration. Log every file of the user that replaces one of the package."""
    from optbench.config import Composition

    composition = Composition(overrides or [], config_dir)
    for file in composition.shadowed:
        log.warning(f"using {file} instead of the packaged file of the same name")
    return composition, composition.run_config()


def plan_lines(config: RunConfig, folder: RunFolder, finished: bool) -> list[str]:
    """Return the lines that --dry-run prints."""
    optimizer = f"{config.optimizer.name} ({config.optimizer.settings['impl']})"
    chosen = [optimizer, *(modifier.label for modifier in config.modifiers), config.model.name, config.data.name]
    return [
        f"{config.run_id}",
        f"  {', '.join(chosen)}",
        f"  {budget_words(config)}, seed {config.seed}",
        *started_lines(config),
        f"  results: {folder.path}" + (" (already finished: it would not run again)" if finished else ""),
    ]


def budget_words(config: RunConfig) -> str:
    """Return the budget of a run; a training script is only asked for it."""
    if config.has_own_session:
        return f"asks the script for {config.steps:,} steps, batch size {config.batch_size}"
    samples = config.steps * config.batch_size
    return f"{config.steps:,} steps of {config.batch_size} samples = {samples:,} samples"


def started_lines(config: RunConfig) -> list[str]:
    """Return the command that a training script is; nothing for a model that this process trains."""
    if not config.has_own_session:
        return []
    import shlex

    from optbench.scripts.commands import filled, template, values_of

    words = filled(template(config), values_of(config, "RUN_FOLDER", "CHECKPOINT_FOLDER"))
    return [f"  starts: {shlex.join(words)}"]
