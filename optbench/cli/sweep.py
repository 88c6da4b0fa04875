"""`optbench sweep`: a study from its overrides or its file to its last run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice
from optbench.cli.tables import table
from optbench.errors import ConfigError, Interrupted, NotHeld, StorageError
from optbench.records import Status
from optbench.store import check_study, results_root

if TYPE_CHECKING:
    from optbench.sweeps.executors.registry import Chosen
    from optbench.sweeps.scheduler.scheduler import Conductor
    from optbench.sweeps.study.study import Study

RETRIED = [str(status) for status in Status if not status.succeeded]


@dataclass(frozen=True)
class How:
    """How a sweep is run, beside what it is."""

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


def sweep(
    words: Sequence[str],
    given: Mapping[str, Any],
    how: How,
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """`optbench sweep`. Raises NotHeld (exit 3) where a run failed, Interrupted (130, 143) after a signal."""
    from optbench.sweeps.executors.registry import choose
    from optbench.sweeps.study.cells import expand

    chosen = choose(how.executor, how.config_dir)
    if how.jobs is not None and how.jobs < 1:
        raise ConfigError(f"--jobs {how.jobs}: expected at least one")
    asked = asked_study(words, given, how)
    cells = expand(asked, how.config_dir)
    root = results_root(how.results_dir)
    if dry_run:
        show_plan(asked, cells, root, how, as_json, notice, emit)
        return
    conductor = run_study(
        asked,
        cells,
        root,
        jobs=how.jobs,
        per_device=how.per_device,
        retry=statuses_of(how.retry),
        quiet=quiet or as_json,
        notice=notice,
        executor=chosen,
        storage=how.storage,
    )
    report(conductor, as_json, emit, notice)


def asked_study(words: Sequence[str], given: Mapping[str, Any], how: How) -> Study:
    """The study that a command line asks for."""
    from optbench.sweeps.study.study import make_study

    file, overrides = study_file(words)
    if not words:
        raise ConfigError(
            "a sweep of what?", "e.g. optbench sweep optimizer=lion,adamw model=vit --trials 16 --seeds 5"
        )
    asked = make_study(
        overrides,
        given,
        file=file,
        scale=how.scale,
        protocol=how.protocol,
        name=how.study,
        config_dir=how.config_dir,
    )
    check_study(asked.name)
    return asked


def study_file(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The study file among the words of a command line (the one without a `=`), and the overrides."""
    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise ConfigError(f"{files[1]}: a sweep takes one study file", "Everything else is key=value")
    return (Path(files[0]) if files else None), [word for word in words if "=" in word]


def numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers with commas between them."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text}: expected numbers, e.g. 0.25,0.5,1") from None


def statuses_of(retry: str) -> frozenset[str]:
    """The statuses that `--retry` names."""
    asked = {word.strip() for word in retry.split(",") if word.strip()}
    for word in sorted(asked - set(RETRIED)):
        raise ConfigError(f"--retry {word}: no run ends so", f"Known: {', '.join(RETRIED)}")
    return frozenset(asked)


def run_study(
    study: Study,
    cells: Sequence[Any],
    root: Path,
    *,
    jobs: int | None,
    per_device: int,
    retry: frozenset[str],
    quiet: bool,
    notice: Notice,
    executor: Chosen | None = None,
    storage: str = "",
) -> Conductor:
    """Everything of a study that is not done yet, run; on this machine, where no executor is named."""
    from optbench.sweeps.display.live import Live
    from optbench.sweeps.display.optuna_mirror import Mirror, check_storage
    from optbench.sweeps.executors.registry import LOCAL, choose
    from optbench.sweeps.scheduler import study_file
    from optbench.sweeps.scheduler.scheduler import Conductor, total_runs

    executor = executor or choose(LOCAL)
    check_storage(storage, root / study.name)
    if not study_file.is_done(study_file.read_ledger(root / study.name), study):
        executor.warm_up([cell.config for cell in cells])
    live = Live(total_runs(study, cells), 1, notice, quiet=quiet)
    with study_file.scheduling(root / study.name):
        conductor = Conductor(
            study,
            cells,
            root,
            live,
            pruning_of(study, root / study.name),
            retry,
            on_edge=edge_notice(study, live.line),
            mirror=Mirror(root / study.name, live.line, storage).update,
            on_extend=lambda trials: live.line(f"extending: {trials} more trials for every cell"),
        )
        for change in study_file.changes(conductor.before, study):
            notice(f"the study {study.name} changes: {change}")
        waiting = conductor.plan()
        conductor.write_ledger()
        if waiting:
            conduct(conductor, live, executor, jobs, per_device, notice)
    return conductor


def conduct(conductor: Conductor, live: Any, chosen: Chosen, jobs: int | None, per_device: int, notice: Notice) -> None:
    """Run what is waiting."""
    from optbench.sweeps.executors.signals import stopping

    executor = chosen.make([cell.config for cell in conductor.cells], conductor.folder, jobs, per_device, notice)
    conductor.sharing = {**executor.sharing, "executor": chosen.name}
    count = live.slots = executor.slots
    trackers_off(conductor, notice)
    live.line(
        f"{conductor.study.name}: {len(conductor.waiting)} runs to do now, {conductor.found} done before, "
        f"{count} at a time; results in {conductor.folder}"
    )
    with stopping() as asked:
        conductor.asked_to_stop = asked
        try:
            conductor.conduct(executor)
        finally:
            live.close()
            with suppress(StorageError):  # a disk that is full has been spoken of; the ledger can be made again
                conductor.write_ledger()
    if asked():
        done, planned = len(conductor.outcomes), len(conductor.planned_runs)
        raise Interrupted(
            asked(),
            f"interrupted: {done} of {planned} planned runs have ended, the others have left checkpoints",
            "The same command goes on from there",
        )


def trackers_off(conductor: Conductor, notice: Notice) -> None:
    """`tracker=auto` in a sweep: W&B where there is a key or a mode is set, else none (a process of W&B for every run
    would cost more than many a run)."""
    from optbench.trackers.wandb import has_key

    if has_key() or os.environ.get("WANDB_MODE"):
        return
    if any(run.config.tracker == "auto" for run in conductor.planned_runs):
        conductor.tracker = "none"
        notice("no W&B key is at hand: runs are not tracked (tracker=wandb logs them offline)")


def pruning_of(study: Study, folder: Path) -> Any:
    """The study's pruner, if it has one."""
    if study.pruner == "none":
        return None
    from optbench.sweeps.search.pruning import make_pruning

    return make_pruning(study, folder)


def edge_notice(study: Study, say: Callable[[str], None]) -> Callable[[Any, list[tuple[str, str]]], None]:
    """Says that a best value lies on an edge of its box."""

    def on_edge(course: Any, edges: list[tuple[str, str]]) -> None:
        where = ", ".join(
            f"{key}={course.winner.values[key]:.4g} on the {side} edge of {course.box.as_dict()[key]}"
            for key, side in edges
        )
        hint = "" if study.extend_edges else "; --extend-edges searches on beyond, equally for all"
        say(f"{course.cell.label}: undertuned: best {where}{hint}")

    return on_edge


def report(conductor: Conductor, as_json: bool, emit: Emit, notice: Notice) -> None:
    """What came out, and NotHeld where a run did not end as asked."""
    from optbench.sweeps.display import summary, wandb_summary

    failures = conductor.failures()
    if conductor.refusals and len(failures) == len(conductor.planned_runs):
        raise conductor.refusals[0]  # nothing at all could be run
    tree = summary.tree_of(conductor)
    if conductor.ran == 0:
        notice(f"{conductor.study.name}: all {tree['runs']['planned']} runs have ended before; nothing was run")
    emit(as_json, tree, lambda: print_summary(tree))
    wandb_summary.track(conductor, tree, notice)
    if failures:
        counts = ", ".join(
            f"{count} {status}" for status, count in summary.statuses({f.run_id: f for f in failures}).items()
        )
        raise NotHeld(
            f"{len(failures)} of {tree['runs']['planned']} runs did not succeed: {counts}", retry_hint(failures)
        )


def retry_hint(failures: Sequence[Any]) -> str:
    """How to do again what may succeed another time: a run that diverges will do so again."""
    again = sorted(
        {f.status for f in failures} & {str(s) for s in (Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT)}
    )
    return f"Again: --retry {','.join(again)}" if again else ""


def print_summary(tree: Mapping[str, Any]) -> None:
    """The table of a study."""
    from optbench.sweeps.display import summary

    table(tree["study"], summary.rows(tree))
    counts = ", ".join(f"{count} {status}" for status, count in tree["statuses"].items())
    pruned = f"; pruner {tree['pruner']}, of the tuning alone" if tree["pruner"] != "none" else ""
    budgets = sorted({round(cell["evaluated_samples"]) for cell in tree["cells"]})
    budget = " or ".join(f"{samples:,}" for samples in budgets) if len(budgets) < 4 else f"{len(budgets)} budgets of"
    print(
        f"{tree['runs']['planned']} runs ({counts}), {tree['runs']['ran']} of them now; tuned by {tree['trials']} "
        f"{tree['sampler']} points{pruned}, {budget} samples through gradient evaluations a run; "
        f"intervals of 95 % over final seeds\nresults  {tree['folder']}"
    )


def show_plan(
    study: Study, cells: Sequence[Any], root: Path, how: How, as_json: bool, notice: Notice, emit: Emit
) -> None:
    """`optbench sweep --dry-run`. Raises the error of a cell that cannot be run, after what can be said."""
    from optbench.sweeps.dry_run.plan import plan
    from optbench.sweeps.executors.registry import choose

    chosen = choose(how.executor, how.config_dir)
    retry = statuses_of(how.retry)
    tree, refusal = plan(
        study, cells, root, jobs=how.jobs, per_device=how.per_device, retry=retry, notice=notice, executor=chosen
    )
    emit(as_json, tree, lambda: print_plan(tree))
    if refusal is not None:
        raise refusal


def print_plan(tree: Mapping[str, Any]) -> None:
    """The plan of a study."""
    from optbench.sweeps.dry_run.plan import table_rows

    table(tree["study"], table_rows(tree))
    print("\n".join(tree["lines"]))
