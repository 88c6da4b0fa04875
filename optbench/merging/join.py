"""Join results trees: first plan everything and raise what forbids it, then execute, study by study.

The output tree counts as the first tree, so that merging again does nothing. Nothing in it is ever deleted: a run that
is replaced by a more complete copy is set aside, as with `--force`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from optbench.errors import ConfigError, Locked, NoResultsError
from optbench.merging.choose import Conflict, choose
from optbench.merging.copy import TransferMode, clear_staging, is_running, place_run
from optbench.merging.mixing import find_mixed
from optbench.merging.scan import STUDY_FILE, Tree, TreeRun, is_study, name_workloads, read_study_file, scan, studies_in
from optbench.merging.study_file import merge_study_files
from optbench.reports.read.reading import FILES
from optbench.sweeps.scheduler.study_file import scheduler_lock, write_study_json
from optbench.sweeps.study.outcomes import Outcome, read_outcome

log = logging.getLogger(__name__)
PROGRESS_SECONDS = 5.0  # between two progress messages


@dataclass
class StudyPlan:
    """The plan for one study."""

    name: str
    copies: list[TreeRun] = field(default_factory=list)
    aside: set[str] = field(default_factory=set)
    """Runs whose folder in the output tree is set aside."""
    kept: int = 0
    """Runs of which the output tree already has the best copy."""
    same: int = 0
    """Run folders left where they are: another copy says the same, or more."""
    conflicts: list[Conflict] = field(default_factory=list)
    damaged: list[TreeRun] = field(default_factory=list)
    running: list[TreeRun] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    study_file: Mapping[str, object] | None = None
    """The new study.json; None: nothing to write."""
    notes: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """True if there is nothing to do."""
        return not self.copies and self.study_file is None

    @property
    def runs(self) -> int:
        """Number of runs in the merged study."""
        return self.kept + len(self.copies)


class ProgressCounter:
    """Report progress every few seconds."""

    def __init__(self, verb: str, total: int = 0) -> None:
        self.verb, self.total, self.count, self.last = verb, total, 0, time.monotonic()

    def __call__(self) -> None:
        self.count += 1
        if time.monotonic() - self.last >= PROGRESS_SECONDS:
            self.last = time.monotonic()
            log.info(f"{self.verb} {self.count:,}{f' of {self.total:,}' if self.total else ''} runs")


def plan_merge(inputs: Sequence[Path], out: Path, mix: Collection[str]) -> list[StudyPlan]:
    """Plan a merge. Raises NoResultsError if no tree has a run, ConfigError if runs must not be mixed."""
    check_out(out)
    trees = scan_all(inputs, out)
    found: dict[str, list[TreeRun]] = {}
    for tree in trees:
        for run in tree.runs:
            found.setdefault(run.study, []).append(run)
    if not found:
        names = ", ".join(map(str, inputs))
        raise NoResultsError(f"{names}: no runs found", "Give results folders, or studies: results/NAME")
    progress = ProgressCounter("compared", sum(map(len, found.values())))
    return [plan_study(name, found[name], trees, out, mix, progress) for name in sorted(found)]


def check_out(out: Path) -> None:
    """Raise ConfigError for a path that cannot be a results folder."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"-o {out}: this is a file", "Give a results folder; it is created if needed")
    if any((out / name).exists() for name in FILES):
        raise ConfigError(f"-o {out}: this is a run's folder", "Give a results folder; studies are created in it")
    if out.is_dir() and is_study(out):
        raise ConfigError(f"-o {out}: this is a study's folder", f"Give -o {out.parent}; studies are created in it")


def scan_all(inputs: Sequence[Path], out: Path) -> list[Tree]:
    """Scan the trees, the output tree first with what it has of the same studies; each folder once."""
    opened = [(str(path), studies_in(path)) for path in inputs]
    for name, folders in opened:
        if not folders:
            log.warning(f"{name}: no runs found")
    names = dict.fromkeys(name for _, folders in opened for name in folders)
    there = {name: out / name for name in names if (out / name).is_dir()}
    seen: set[str] = set()
    trees = []
    progress = ProgressCounter("read")
    for name, folders in ((str(out), there), *opened):
        trees.append(scan(name, folders, progress, seen))
        seen |= {os.path.realpath(run.folder) for run in trees[-1].runs}
    return trees


def plan_study(
    name: str,
    runs: Sequence[TreeRun],
    trees: Sequence[Tree],
    out: Path,
    mix: Collection[str],
    on_run: Callable[[], None],
) -> StudyPlan:
    """Return the plan of one study."""
    name_workloads(runs)
    plan = StudyPlan(name, mixed=find_mixed(name, runs, mix))
    plan.damaged = [run for run in runs if run.damage]
    by_id: dict[str, list[TreeRun]] = {}
    for run in runs:
        by_id.setdefault(run.run_id, []).append(run)
    folders = {}
    for run_id in sorted(by_id):
        kept = plan_run(plan, by_id[run_id], out)
        if kept is not None and kept.row is not None:
            folders[run_id] = kept.folder
        for _ in by_id[run_id]:
            on_run()
    plan_study_file(plan, trees, out, folders)
    return plan


def plan_run(plan: StudyPlan, copies: Sequence[TreeRun], out: Path) -> TreeRun | None:
    """Add one run to the plan; return the copy to keep, None if all copies are in use."""
    busy = [run for run in copies if not run.finished and not in_place(run, out) and is_running(run.folder)]
    plan.running += busy
    copies = [run for run in copies if run not in busy]
    if not copies:
        return None
    kept, conflicts = choose(copies)
    there = next((run for run in copies if in_place(run, out)), None)
    if there is not None and kept is not there and is_running(there.folder):
        plan.running.append(there)
        kept = there
    if kept is there:
        plan.kept += 1
    else:
        plan.copies.append(kept)
        plan.aside |= {kept.run_id} if there is not None else set()
    plan.conflicts += conflicts
    plan.same += len(copies) - 1 - len(conflicts)
    return kept


def in_place(run: TreeRun, out: Path) -> bool:
    """Return True if a run folder is already in the output tree."""
    return os.path.realpath(run.folder) == os.path.realpath(out / run.study / run.run_id)


def plan_study_file(plan: StudyPlan, trees: Sequence[Tree], out: Path, folders: Mapping[str, Path]) -> None:
    """Add study.json to the plan, and what is wrong with the existing ones."""
    places: dict[str, tuple[str, Path]] = {}
    for tree in trees:
        folder = tree.folders.get(plan.name)
        if folder is not None and (folder / STUDY_FILE).exists():
            places.setdefault(os.path.realpath(folder), (tree.name, folder))

    @cache
    def outcome(run_id: str) -> Outcome | None:
        folder = folders.get(run_id)
        return read_outcome(folder.parent, folder.name) if folder is not None else None

    readable = []
    for name, folder in places.values():
        study_file = read_study_file(folder) or {}
        try:
            merge_study_files([(name, study_file)], outcome)
        except (KeyError, TypeError, ValueError, AttributeError):
            plan.notes.append(f"{folder / STUDY_FILE}: malformed, and left out")
        else:
            readable.append((name, study_file))
    if not readable:
        return
    merged, notes = merge_study_files(readable, outcome)
    plan.notes += [f"{plan.name}: {note}" for note in notes]
    if merged != read_study_file(out / plan.name):
        plan.study_file = merged


def merge(plans: Sequence[StudyPlan], out: Path, mode: TransferMode) -> None:
    """Execute the plans. Raises Locked if a sweep runs one of the studies, StorageError if `out` is not writable."""
    verb = {TransferMode.COPY: "copied", TransferMode.LINK: "linked", TransferMode.MOVE: "moved"}[mode]
    progress = ProgressCounter(verb, sum(len(plan.copies) for plan in plans))
    for plan in plans:
        if plan.idle:
            continue
        folder = out / plan.name
        with scheduler_lock(folder):
            clear_staging(folder)
            try:
                for run in list(plan.copies):
                    place_or_skip(plan, run, folder / run.run_id, mode)
                    progress()
            finally:
                clear_staging(folder)
            if plan.study_file is not None:
                write_study_json(folder, plan.study_file)


def place_or_skip(plan: StudyPlan, run: TreeRun, target: Path, mode: TransferMode) -> None:
    """Put one run in place; skip it if another process has started to write to it."""
    try:
        place_run(run, target, mode, replacing=run.run_id in plan.aside)
    except Locked:
        plan.copies.remove(run)
        plan.running.append(run)
