"""Results trees into one: first what is to be done, and everything that forbids it; then the doing, study by study.

What lies in the new tree already counts as the first tree, so that merging again does nothing, and nothing there is
ever deleted: a run that gives way to one of which more is known is set aside, as `--force` does it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, Locked, NoResultsError
from optbench.merging.choose import Conflict, chosen
from optbench.merging.copy import Way, clear, is_running, place
from optbench.merging.mixing import mixed
from optbench.merging.scan import STUDY_FILE, Held, Tree, is_study, ledger_in, name_workloads, scan, studies_in
from optbench.merging.study_file import united
from optbench.reports.read.reading import FILES
from optbench.sweeps.scheduler.study_file import scheduling, write_ledger
from optbench.sweeps.study.outcomes import Outcome, read_outcome

log = logging.getLogger(__name__)

SAY_SECONDS = 5.0  # between two words of progress


@dataclass
class StudyPlan:
    """What is to be done for one study."""

    name: str
    copies: list[Held] = field(default_factory=list)
    aside: set[str] = field(default_factory=set)
    """Runs whose folder in the new tree gives way."""
    kept: int = 0
    """Runs of which the new tree has what is to be had."""
    same: int = 0
    """Run folders that were left where they are, as another one says the same, or more."""
    conflicts: list[Conflict] = field(default_factory=list)
    damaged: list[Held] = field(default_factory=list)
    running: list[Held] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    ledger: Mapping[str, Any] | None = None
    """study.json, where it is to be written."""
    notes: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.copies and self.ledger is None

    @property
    def runs(self) -> int:
        """How many runs the study will have."""
        return self.kept + len(self.copies)


class Counter:
    """A word of progress now and then."""

    def __init__(self, words: str, total: int = 0) -> None:
        self.words, self.total, self.count, self.said = words, total, 0, time.monotonic()

    def __call__(self) -> None:
        self.count += 1
        if time.monotonic() - self.said >= SAY_SECONDS:
            self.said = time.monotonic()
            log.info(f"{self.words} {self.count:,}{f' of {self.total:,}' if self.total else ''} runs")


def plan(inputs: Sequence[Path], out: Path, mix: Collection[str]) -> list[StudyPlan]:
    """What merging comes to. Raises NoResultsError where no tree has a run, ConfigError where runs must not lie
    together."""
    check_out(out)
    trees = scanned(inputs, out)
    found: dict[str, list[Held]] = {}
    for tree in trees:
        for held in tree.runs:
            found.setdefault(held.study, []).append(held)
    if not found:
        names = ", ".join(map(str, inputs))
        raise NoResultsError(f"{names}: there are no runs", "A tree is a results folder, or a study's: results/NAME")
    compared = Counter("compared", sum(map(len, found.values())))
    return [study_plan(name, found[name], trees, out, mix, compared) for name in sorted(found)]


def check_out(out: Path) -> None:
    """ConfigError for a place that cannot be a results folder."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"-o {out}: it is a file", "Expected a results folder, which is made where there is none")
    if any((out / name).exists() for name in FILES):
        raise ConfigError(f"-o {out}: it is a run's folder", "Studies are made below the results folder that is given")
    if out.is_dir() and is_study(out):
        raise ConfigError(f"-o {out}: it is a study's folder", f"Say -o {out.parent}: studies are made below it")


def scanned(inputs: Sequence[Path], out: Path) -> list[Tree]:
    """The trees, the new one first with what it has of the same studies; each folder once, however often it was
    named."""
    opened = [(str(path), studies_in(path)) for path in inputs]
    for name, folders in opened:
        if not folders:
            log.warning(f"{name}: there are no runs")
    names = dict.fromkeys(name for _, folders in opened for name in folders)
    there = {name: out / name for name in names if (out / name).is_dir()}
    seen: set[str] = set()
    trees = []
    progress = Counter("read")
    for name, folders in ((str(out), there), *opened):
        trees.append(scan(name, folders, progress, seen))
        seen |= {os.path.realpath(held.folder) for held in trees[-1].runs}
    return trees


def study_plan(
    name: str,
    runs: Sequence[Held],
    trees: Sequence[Tree],
    out: Path,
    mix: Collection[str],
    compared: Callable[[], None],
) -> StudyPlan:
    """The plan of one study."""
    name_workloads(runs)
    made = StudyPlan(name, mixed=mixed(name, runs, mix))
    made.damaged = [held for held in runs if held.damage]
    by_run: dict[str, list[Held]] = {}
    for held in runs:
        by_run.setdefault(held.run_id, []).append(held)
    folders = {}
    for run_id in sorted(by_run):
        kept = decided(made, by_run[run_id], out)
        if kept is not None and kept.row is not None:
            folders[run_id] = kept.folder
        for _ in by_run[run_id]:
            compared()
    plan_ledger(made, trees, out, folders)
    return made


def decided(made: StudyPlan, same: Sequence[Held], out: Path) -> Held | None:
    """Take one run into the plan; returns which folder is kept, None where each is being written to."""
    busy = [held for held in same if not held.has_ended and not is_there(held, out) and is_running(held.folder)]
    made.running += busy
    same = [held for held in same if held not in busy]
    if not same:
        return None
    kept, conflicts = chosen(same)
    there = next((held for held in same if is_there(held, out)), None)
    if there is not None and kept is not there and is_running(there.folder):
        made.running.append(there)
        kept = there
    if kept is there:
        made.kept += 1
    else:
        made.copies.append(kept)
        made.aside |= {kept.run_id} if there is not None else set()
    made.conflicts += conflicts
    made.same += len(same) - 1 - len(conflicts)
    return kept


def is_there(held: Held, out: Path) -> bool:
    """Whether a run folder is where it is to be."""
    return os.path.realpath(held.folder) == os.path.realpath(out / held.study / held.run_id)


def plan_ledger(made: StudyPlan, trees: Sequence[Tree], out: Path, folders: Mapping[str, Path]) -> None:
    """study.json of the study, and what is wrong with those there are."""
    places: dict[str, tuple[str, Path]] = {}
    for tree in trees:
        folder = tree.folders.get(made.name)
        if folder is not None and (folder / STUDY_FILE).exists():
            places.setdefault(os.path.realpath(folder), (tree.name, folder))

    @cache
    def outcome(run_id: str) -> Outcome | None:
        folder = folders.get(run_id)
        return read_outcome(folder.parent, folder.name) if folder is not None else None

    told = []
    for name, folder in places.values():
        ledger = ledger_in(folder) or {}
        try:
            united([(name, ledger)], outcome)
        except (KeyError, TypeError, ValueError, AttributeError):
            made.notes.append(f"{folder / STUDY_FILE}: it is not in its shape, and left out")
        else:
            told.append((name, ledger))
    if not told:
        return
    ledger, notes = united(told, outcome)
    made.notes += [f"{made.name}: {note}" for note in notes]
    if ledger != ledger_in(out / made.name):
        made.ledger = ledger


def merge(plans: Sequence[StudyPlan], out: Path, way: Way) -> None:
    """Do it. Raises Locked where a sweep is at one of the studies, StorageError where the new tree cannot be
    written."""
    progress = Counter({Way.COPY: "copied", Way.LINK: "linked", Way.MOVE: "moved"}[way])
    progress.total = sum(len(made.copies) for made in plans)
    for made in plans:
        if made.idle:
            continue
        folder = out / made.name
        with scheduling(folder):
            clear(folder)
            try:
                for held in list(made.copies):
                    bring(made, held, folder / held.run_id, way)
                    progress()
            finally:
                clear(folder)
            if made.ledger is not None:
                write_ledger(folder, made.ledger)


def bring(made: StudyPlan, held: Held, target: Path, way: Way) -> None:
    """One run to its place; one that somebody has begun to write to since is left where it is."""
    try:
        place(held, target, way, replacing=held.run_id in made.aside)
    except Locked:
        made.copies.remove(held)
        made.running.append(held)
