"""`optbench sweep`: a study from its overrides or its file to its last run."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli import options
from optbench.cli.options import AsJson, ConfigDir, Debug, ResultsDir
from optbench.cli.output import Output, print_lines
from optbench.cli.tables import table
from optbench.cli.trust import require_trust
from optbench.errors import ConfigError, ExpectationFailed, Interrupted, OptbenchError, StorageError

if TYPE_CHECKING:
    from optbench.sweeps.executors.registry import ExecutorChoice
    from optbench.sweeps.scheduler.scheduler import Scheduler
    from optbench.sweeps.study.study import Study

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepOptions:
    """The options of running a sweep. The study says what is run."""

    protocol: str | None = None
    scale: str | None = None
    study: str | None = None
    jobs: int | None = None
    per_device: int = 1
    executor: str = "local"
    retry: str = ""
    results_dir: Path | None = None
    config_dir: Path | None = None
    storage: str = ""
    trust: bool = False

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"--jobs {self.jobs}: expected at least one")
        from optbench.records import Status

        allowed = [str(status) for status in Status if not status.succeeded]
        for status in sorted(self.retried - set(allowed)):
            raise ConfigError(f"--retry: unknown status '{status}'", f"Choose from {', '.join(allowed)}")

    @property
    def retried(self) -> frozenset[str]:
        """The statuses that --retry names."""
        return frozenset(options.split(self.retry))

    @property
    def root(self) -> Path:
        """The results folder."""
        from optbench.store import results_root

        return results_root(self.results_dir)

    def executor_choice(self) -> ExecutorChoice:
        """Return the executor that --executor names. Raise ConfigError or MissingError."""
        from optbench.sweeps.executors.registry import choose

        return choose(self.executor, self.config_dir)


def sweep(
    words: options.SweepWords = None,
    trials: options.Trials = None,
    seeds: options.Seeds = None,
    tune_seeds: options.TuneSeeds = None,
    shortlist: options.Shortlist = None,
    shortlist_seeds: options.ShortlistSeeds = None,
    sampler: options.Sampler = None,
    search_seed: options.SearchSeed = None,
    pruner: options.Pruner = None,
    budgets: options.Budgets = None,
    protocol: options.Protocol = None,
    extend_edges: options.ExtendEdges = None,
    recipes: options.Recipes = None,
    allow_unequal: options.AllowUnequal = False,
    scale: options.Scale = None,
    study: options.SweepStudy = None,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    executor: options.Executor = "local",
    retry: options.Retry = "",
    storage: options.Storage = "",
    trust: options.Trust = False,
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Tune with equal budgets, then rerun on fresh seeds: optbench sweep optimizer=lion,adamw model=vit --trials 16

    Defaults: conf/protocol/default.yaml. Exit code 3 if a run failed."""
    from optbench.sweeps.study.expand import planned

    output = Output(as_json, quiet)
    settings = {"trials": trials, "seeds": seeds, "tune_seeds": tune_seeds, "sampler": sampler, "pruner": pruner}
    settings |= {"shortlist": shortlist, "shortlist_seeds": shortlist_seeds, "recipes": recipes}
    settings |= {"search_seed": search_seed, "budgets": numbers("--budgets", budgets)}
    settings |= {"extend_edges": extend_edges, "allow_unequal": allow_unequal or None}
    how = SweepOptions(
        protocol, scale, study, jobs, per_device, executor, retry, results_dir, config_dir, storage, trust
    )
    how.executor_choice()
    asked, cells = planned(asked_study(words or [], settings, how), how.config_dir)
    gc.freeze()  # what is imported stays: planning thousands of runs is a third slower if every collection visits it
    if dry_run:
        show_plan(asked, cells, how, output)
    else:
        report(run_study(asked, cells, how, output), output)


def asked_study(words: Sequence[str], given: Mapping[str, Any], how: SweepOptions) -> Study:
    """Return the study that a command line asks for."""
    from optbench.store import check_study
    from optbench.sweeps.study.study import make_study

    file, overrides = study_file(words)
    if not words:
        raise ConfigError(
            "Nothing to sweep: give overrides or a study file",
            "e.g. optbench sweep optimizer=lion,adamw model=vit --trials 16 --seeds 5",
        )
    if file is not None:
        require_trust(file, how.scale, overrides, how.trust)
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
    return asked


def study_file(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Split the words of a command line into the study file (the word without a `=`) and the overrides."""
    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise ConfigError(f"{files[1]}: a sweep takes one study file", "All other words must be key=value")
    return (Path(files[0]) if files else None), [word for word in words if "=" in word]


def numbers(option: str, text: str | None) -> list[float] | None:
    """Parse comma-separated numbers."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text}: expected numbers, e.g. 0.25,0.5,1") from None


def run_study(study: Study, cells: Sequence[Any], how: SweepOptions, output: Output) -> Scheduler:
    """Run what is not finished of a study, and return its scheduler."""
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
        executor.warm_up([cell.config for cell in cells])
    live = LiveDisplay(runs_by_cell(study, cells), 1, quiet=not output.shows_progress)
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
            mirror=OptunaMirror(folder, how.storage).update,
            on_extend=lambda trials: log.info(f"extending: {trials} more trials for every cell"),
        )
        for change in study_file.changed_settings(scheduler.previous, study):
            log.warning(f"the study {study.name} changes: {change}")
        waiting = scheduler.plan()
        study_file.check_points(scheduler.previous, scheduler.progress.cells)
        scheduler.write_study_file()
        if waiting:
            run_waiting(scheduler, live, executor, how)
    return scheduler


def run_waiting(scheduler: Scheduler, live: Any, chosen: ExecutorChoice, how: SweepOptions) -> None:
    """Run the waiting runs on an executor. Raise Interrupted after SIGINT or SIGTERM."""
    from optbench.sweeps.executors.signals import stop_requests

    executor = chosen.make([cell.config for cell in scheduler.cells], scheduler.folder, how.jobs, how.per_device)
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
    """Turn tracker=auto off unless W&B has a key or a mode: its process would cost more than a short run."""
    from optbench.trackers.wandb import has_key

    if has_key() or os.environ.get("WANDB_MODE"):
        return
    if any(run.config.tracker == "auto" for run in scheduler.planned_runs):
        scheduler.tracker = "none"
        log.warning("No W&B key found: runs are not tracked (tracker=wandb logs them offline)")


def report(scheduler: Scheduler, output: Output) -> None:
    """Print the result of a study. Raise ExpectationFailed if a run did not succeed."""
    tree = result_tree(scheduler)
    output.answer(tree, lambda: print_summary(tree))
    raise_for_failures(scheduler, tree)


def result_tree(scheduler: Scheduler) -> dict[str, Any]:
    """Return the result of a study as plain data. Raise the first refusal if no run could be started."""
    from optbench.sweeps.display import summary

    if scheduler.refusals and len(scheduler.failures()) == len(scheduler.planned_runs):
        raise scheduler.refusals[0]
    tree = summary.summary_of(scheduler)
    if scheduler.ran == 0:
        log.warning(f"{scheduler.study.name}: all {tree['runs']['planned']} runs are already finished")
    return tree


def raise_for_failures(scheduler: Scheduler, tree: Mapping[str, Any]) -> None:
    """Log the result to W&B. Raise ExpectationFailed if a run did not succeed."""
    from optbench.sweeps.display import wandb_summary
    from optbench.sweeps.study.outcomes import status_counts

    wandb_summary.track(scheduler, tree)
    failures = scheduler.failures()
    if failures:
        counts = status_counts(failures)
        words = ", ".join(f"{count} {status}" for status, count in counts.items())
        raise ExpectationFailed(
            f"{len(failures)} of {tree['runs']['planned']} runs did not succeed: {words}", retry_hint(failures)
        )


def retry_hint(failures: Sequence[Any]) -> str:
    """Return the option that reruns what may succeed the next time. A diverged run would diverge again."""
    from optbench.records import Status

    again = sorted(
        {f.status for f in failures} & {str(s) for s in (Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT)}
    )
    return f"Rerun them with --retry {','.join(again)}" if again else ""


def print_summary(tree: Mapping[str, Any]) -> None:
    """Print the table of a study."""
    from optbench.sweeps.display import summary

    table(tree["study"], [summary.table_row(cell) for cell in tree["cells"]])
    counts = ", ".join(f"{count} {status}" for status, count in tree["statuses"].items())
    budgets = sorted({round(cell["evaluated_samples"]) for cell in tree["cells"]})
    budget = " or ".join(f"{samples:,}" for samples in budgets) if len(budgets) < 4 else f"{len(budgets)} budgets of"
    first = (
        f"{tree['runs']['planned']} runs ({counts}), {tree['runs']['ran']} of them now; {summary.tuning_text(tree)}, "
        f"{budget} samples through gradient evaluations a run; 95 % intervals over final seeds"
    )
    print_lines([first, *summary.given_lines(tree["cells"]), f"results  {tree['folder']}"])


def show_plan(study: Study, cells: Sequence[Any], how: SweepOptions, output: Output) -> None:
    """Print the plan of a study, with a timed probe. Then raise the error of a cell that cannot be run, if any."""
    tree, refusal = plan_of(study, cells, how)
    output.answer(tree, lambda: print_plan(tree))
    if refusal is not None:
        raise refusal


def plan_of(study: Study, cells: Sequence[Any], how: SweepOptions) -> tuple[dict[str, Any], OptbenchError | None]:
    """Return the plan of a study, and the error of a cell that cannot be run."""
    from optbench.sweeps.dry_run.plan import plan

    executor = how.executor_choice()
    return plan(study, cells, how.root, jobs=how.jobs, per_device=how.per_device, retry=how.retried, executor=executor)


def print_plan(tree: Mapping[str, Any]) -> None:
    """Print the plan of a study."""
    from optbench.sweeps.dry_run.plan_text import table_row

    table(tree["study"], [table_row(row) for row in tree["cells"]])
    print_lines(tree["lines"])
