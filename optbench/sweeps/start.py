"""A sweep from its words to its last run, for the command line and for Python."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config.trackers import AUTO_TRACKER
from optbench.errors import ConfigError, Interrupted, OptbenchError, StorageError
from optbench.sweeps.options import SweepOptions
from optbench.sweeps.study.agreement import Ask, nobody, trusting

if TYPE_CHECKING:
    from optbench.sweeps.executors.registry import ExecutorChoice
    from optbench.sweeps.scheduler.scheduler import Scheduler
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study

log = logging.getLogger(__name__)


def asked_study(
    words: Sequence[str], given: Mapping[str, Any], how: SweepOptions, ask: Ask = nobody
) -> tuple[Study, list[Cell]]:
    """Return the study that its words and settings ask for, and its cells. `ask`: put the question before the code that
    a study file names is imported."""
    file, overrides = study_file(words)
    if not words:
        raise ConfigError(
            "Nothing to sweep: give overrides or a study file",
            "e.g. optbench sweep optimizer=lion,adamw model=vit --trials 16 --seeds 5",
        )
    return planned_study(file, overrides, given, how, ask)


def planned_study(
    file: Path | None, overrides: Sequence[str], given: Mapping[str, Any], how: SweepOptions, ask: Ask = nobody
) -> tuple[Study, list[Cell]]:
    """Return a study from its file, its overrides and settings, and its cells."""
    from optbench.store import check_study
    from optbench.sweeps.study.expand import planned
    from optbench.sweeps.study.study import make_study

    with trusting(file, overrides, how.trust, ask) as trust:
        asked = make_study(
            overrides,
            given,
            file=file,
            scale=how.scale,
            protocol=how.protocol,
            name=how.study,
            config_dir=how.config_dir,
            root=how.root,
        )
        check_study(asked.name)
        if trust is not None:
            trust.require_words(asked.words)
        study, cells = planned(asked, how.config_dir)
        if trust is not None:
            trust.require_files([file for cell in cells for file in cell.variation.composition.files_read])
            trust.require_files(filter(None, [how.executor_choice().file]))
    return study, cells


def study_file(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Split words into the study file (the word without a `=`) and the overrides."""
    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise ConfigError(f"{files[1]}: a sweep takes one study file", "All other words must be key=value")
    return (Path(files[0]) if files else None), [word for word in words if "=" in word]


def plan_of(study: Study, cells: Sequence[Any], how: SweepOptions) -> tuple[dict[str, Any], OptbenchError | None]:
    """Return the plan of a study, and the error of a cell that cannot be run."""
    from optbench.sweeps.dry_run.plan import plan

    executor = how.executor_choice()
    return plan(study, cells, how.root, jobs=how.jobs, per_device=how.per_device, retry=how.retried, executor=executor)


def run_study(study: Study, cells: Sequence[Any], how: SweepOptions, *, progress: bool) -> Scheduler:
    """Run what is not finished of a study, and return its scheduler. `progress`: show it on stderr."""
    from optbench.sweeps.display.live import LiveDisplay, log_edges
    from optbench.sweeps.display.optuna_mirror import OptunaMirror
    from optbench.sweeps.display.optuna_storage import check_storage
    from optbench.sweeps.scheduler import study_file
    from optbench.sweeps.scheduler.scheduler import Scheduler
    from optbench.sweeps.scheduler.study_progress import runs_by_cell
    from optbench.sweeps.search.pruning import make_pruning
    from optbench.sweeps.study.given import dropped_lines

    executor, folder = how.executor_choice(), how.root / study.name
    check_storage(how.storage, folder)
    if not study_file.is_done(study_file.read_study_json(folder), study):
        executor.warm_up([cell.config for cell in cells], how.jobs)
    live = LiveDisplay(runs_by_cell(study, cells), 1, quiet=not progress)
    for line in dropped_lines(cells):
        log.info(line)
    with study_file.scheduler_lock(folder):
        study_file.set_aside_unreadable(folder)
        scheduler = Scheduler(
            study,
            cells,
            how.root,
            live,
            make_pruning(study, folder),
            how.retried,
            on_edge=log_edges,
            pack=how.pack,
            mirror=OptunaMirror(folder, how.storage).update,
            on_extend=lambda trials: log.info(f"extending: {trials} more trials for every cell"),
        )
        for change in study_file.changed_settings(scheduler.previous, study):
            log.warning(f"the study {study.name} changes: {change}")
        waiting = scheduler.plan()
        study_file.check_points(scheduler.previous, scheduler.progress.cells)
        scheduler.write_study_file()
        require_same_data(scheduler)
        if waiting:
            run_waiting(scheduler, live, executor, how)
    return scheduler


def require_same_data(scheduler: Scheduler) -> None:
    """Raise ConfigError if a user's function gives other samples than the finished runs were trained on.

    Only loading them shows it, once for each data set here, in a sweep that runs something or nothing. Embedded data
    are compared when a run ends."""
    found: dict[str, str] = {}
    for cell in scheduler.cells:
        config, stored = cell.config, scheduler.data.get(cell.number)
        if stored is None or config.data.target.startswith("optbench."):
            continue
        from optbench.sessions.same_data import data_sha256, may_change

        key = repr((config.data, config.data_dir))
        if key not in found:
            found[key] = data_sha256(config) if may_change(config) else stored
        if found[key] != stored:
            raise ConfigError(
                f"{scheduler.study.name}: data={config.data.name} is no longer what its finished runs were trained on "
                f"({stored[:12]}, now {found[key][:12]})",
                "Choose another --study, or restore the data",
            )


def run_waiting(scheduler: Scheduler, live: Any, chosen: ExecutorChoice, how: SweepOptions) -> None:
    """Run the waiting runs on an executor. Raise Interrupted after SIGINT or SIGTERM."""
    from optbench.sweeps.executors.signals import stop_requests

    configs = [cell.config for cell in scheduler.cells]
    executor = chosen.make(configs, scheduler.folder, how.jobs, how.per_device, how.pack)
    scheduler.sharing = {**executor.sharing, "executor": chosen.name}
    count = live.slots = executor.slots
    trackers_off(scheduler)
    log.info(
        f"{scheduler.study.name}: {len(scheduler.waiting)} runs to do, {scheduler.found} already finished, "
        f"{count} at a time; results in {scheduler.folder}"
    )
    with stop_requests() as asked:
        scheduler.stop_signal = asked
        try:
            scheduler.run(executor)
        finally:
            live.close()
            with suppress(StorageError):  # a full disk is reported already; study.json can be rebuilt
                scheduler.write_study_file()
    if asked():
        done, planned = len(scheduler.outcomes), len(scheduler.planned_runs)
        raise Interrupted(
            asked(),
            f"interrupted: {done} of {planned} planned runs are finished, the others have checkpoints",
            "Run the same command again to continue",
        )


def trackers_off(scheduler: Scheduler) -> None:
    """Turn tracker=auto off unless W&B has a key or a mode, and say so once for all runs."""
    from optbench.sessions.sinks import NO_TRACKER, UNTRACKED, resolved

    off = {resolved(run.config.tracker) for run in scheduler.planned_runs if run.config.tracker == AUTO_TRACKER}
    if off == {NO_TRACKER}:
        scheduler.tracker = NO_TRACKER
        log.info(UNTRACKED)
