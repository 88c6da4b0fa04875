"""Merge the study.json of one study from several trees.

`optbench sweep` can rebuild the file from its command line and the run folders (scheduler.py), but needs the
configuration files and the code of the study; a machine that only merges may have neither. So cells are matched by
their label, and trials are united if the files agree on them: same values, same runs. The outcome of each trial, its
score, the winner and its edges are then computed again from the merged run folders by the sweep's own rules, as a trial
whose seeds ran on two machines is open in both files. Final runs come from a file with that winner. If files disagree
on a cell, the first one's is kept with a note; the sweep's command corrects it, and works without any of this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Required, TypedDict, cast

from optbench.config import Dimension
from optbench.sweeps.scheduler.cell_progress import DONE, TUNED
from optbench.sweeps.scheduler.study_file import HISTORY, trial_state
from optbench.sweeps.study.cells import FINAL, TUNE
from optbench.sweeps.study.edges import ScoreNoise, rising_edges, score_noise
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.shortlist import ScoredTrial, best_trial
from optbench.sweeps.study.space import Box

Settings = Mapping[str, object]
Read = Callable[[str], Outcome | None]
SAME = ("choices", "optimizer", "implementation", "model", "data", "workload", "budget", "steps", "batch_size")


class StudyTrial(TypedDict, total=False):
    """One trial of a cell in study.json."""

    trial: Required[int]
    values: Required[Mapping[str, Any]]
    runs: Required[list[str]]
    state: str
    score: float | None


class StudyCell(TypedDict, total=False):
    """One cell of study.json, as far as merging changes it."""

    label: Required[str]
    metric: str | None
    direction: str | None
    dimensions: list[dict[str, Any]]
    stage: str
    trials: Required[list[StudyTrial]]
    winner: int | None
    edges: list[list[str]]
    extensions: int
    finals: list[str]


class StudyTree(TypedDict, total=False):
    """study.json. Nothing is checked: malformed files raise KeyError, TypeError and the like."""

    settings: Settings
    cells: Required[list[StudyCell]]
    history: list[Settings]


def merge_study_files(
    files: Sequence[tuple[str, Mapping[str, object]]], read: Read
) -> tuple[dict[str, object], list[str]]:
    """Merge the study.json of several trees, given with the tree's name; also return notes on what does not match.

    `read` returns the outcome of a merged run."""
    trees = [(name, cast("StudyTree", tree)) for name, tree in files]
    (name, first), *others = trees
    notes = [
        f"{other}: its settings differ from {name}'s: {words}"
        for other, tree in others
        if (words := changed_settings(first, tree))
    ]
    by_label: dict[str, list[tuple[str, StudyCell]]] = {}
    for tree_name, tree in trees:
        for cell in tree["cells"]:
            by_label.setdefault(cell["label"], []).append((tree_name, cell))
    cells = []
    for label, same in by_label.items():
        wrong = disagreement([cell for _, cell in same])
        notes += cell_notes(label, wrong, same)
        agreeing = [same[0][1]] if wrong else [cell for _, cell in same]
        cells.append(merge_cells(agreeing, first.get("settings") or {}, read))
    return {**first, "cells": cells, "history": merge_history([tree for _, tree in trees])}, notes


def changed_settings(a: StudyTree, b: StudyTree) -> str:
    """Return the settings in which two files differ, in words."""
    one, two = a.get("settings") or {}, b.get("settings") or {}
    return ", ".join(f"{key} {one.get(key)} and {two.get(key)}" for key in one if one.get(key) != two.get(key))


def merge_history(trees: Sequence[StudyTree]) -> list[Settings]:
    """Return earlier settings of the first file, then all others' settings that differ from its own."""
    found = list(trees[0].get("history") or ())
    for tree in trees[1:]:
        for settings in (*(tree.get("history") or ()), tree.get("settings")):
            if settings and settings not in found and settings != trees[0].get("settings"):
                found.append(settings)
    return found[-HISTORY:]


def disagreement(cells: Sequence[StudyCell]) -> str:
    """Return what files disagree on in one cell, empty if nothing."""
    first, *others = cells
    for cell in others:
        for key in SAME:
            if first.get(key) != cell.get(key):
                return f"{key} {first.get(key)} and {cell.get(key)}"
        known = {trial["trial"]: trial for trial in first["trials"]}
        for trial in cell["trials"]:
            old = known.get(trial["trial"], trial)
            shared = min(len(old["runs"]), len(trial["runs"]))  # further seeds of a shortlist may be in one file alone
            if (old["values"], old["runs"][:shared]) != (trial["values"], trial["runs"][:shared]):
                return f"trial {trial['trial']} is not the same point and runs"
    return ""


def cell_notes(label: str, wrong: str, same: Sequence[tuple[str, StudyCell]]) -> list[str]:
    """Return notes on one cell: a disagreement, or final runs of several winners, which a report would mix as seeds."""
    if wrong:
        return [f"cell {label!r}: {wrong}: keeping that of {same[0][0]}; the sweep's command corrects it"]
    rerun = {
        cell.get("winner"): f"of trial {cell.get('winner')} in {name}" for name, cell in same if cell.get("finals")
    }
    return [f"cell {label!r} has final runs {' and '.join(rerun.values())}"] if len(rerun) > 1 else []


def merge_cells(cells: Sequence[StudyCell], settings: Settings, read: Read) -> StudyCell:
    """Merge cells that agree."""
    furthest = max(cells, key=lambda cell: (cell.get("extensions") or 0, len(cell["trials"])))
    known = (trial for cell in (*cells, furthest) for trial in cell["trials"])
    by_number = {trial["trial"]: trial for trial in sorted(known, key=lambda trial: len(trial["runs"]))}
    if not any(trial["runs"] for trial in by_number.values()):
        return {**furthest}
    trials = [with_outcome(by_number[number], read) for number in sorted(by_number)]
    scored = [ScoredTrial(t["trial"], t["values"], t.get("score"), len(t["runs"])) for t in trials]
    best = best_trial(scored)
    winner = best.number if best else None
    same_winner = [cell for cell in cells if cell.get("winner") == winner]
    finals = max((cell.get("finals") or [] for cell in same_winner), key=len, default=[])
    measured = next((cell for cell in cells if cell.get("metric")), furthest)
    planned = settings.get("trials") or len(trials)
    noise = score_noise(scores_of(runs, read) for runs in (*(trial["runs"] for trial in trials), finals))
    return {
        **furthest,
        "metric": measured.get("metric"),
        "direction": measured.get("direction"),
        "stage": stage_of(trials, finals, same_winner, read),
        "trials": trials,
        "winner": winner,
        "edges": edges_of(furthest, best, scored, cast("int", planned), noise),
        "finals": finals,
    }


def with_outcome(trial: StudyTrial, read: Read) -> StudyTrial:
    """Return a trial with its outcome by the merged runs; unchanged if they do not say (a refused run leaves none)."""
    outcomes = [read(run_id) for run_id in trial["runs"]]
    if not outcomes or (None in outcomes and trial.get("state") != "open"):
        return {**trial}
    scores = [outcome.score for outcome in outcomes if outcome is not None and outcome.score is not None]
    score = sum(scores) / len(scores) if len(scores) == len(outcomes) else None
    return cast("StudyTrial", {**trial, **trial_state(outcomes), "score": score})


def scores_of(runs: Sequence[str], read: Read) -> list[float]:
    """Return the scores of the runs that have one."""
    outcomes = (read(run_id) for run_id in runs)
    return [outcome.score for outcome in outcomes if outcome is not None and outcome.score is not None]


def edges_of(
    cell: StudyCell, best: ScoredTrial | None, trials: Sequence[ScoredTrial], planned: int, noise: ScoreNoise
) -> list[list[str]]:
    """Return the edges of the cell's box that its winner is on and the score rises towards."""
    if best is None:
        return []
    dimensions = [Dimension(**{**d, "values": tuple(d.get("values") or ())}) for d in cell.get("dimensions") or ()]
    return [list(edge) for edge in rising_edges(Box(tuple(dimensions)), best, trials, planned, noise)]


def stage_of(trials: Sequence[StudyTrial], finals: Sequence[str], same_winner: Sequence[StudyCell], read: Read) -> str:
    """Return the stage of a merged cell; `same_winner`: the files' cells with its winner."""
    if any(trial.get("state") == "open" for trial in trials):
        return TUNE
    if any(cell.get("stage") == DONE and (cell.get("finals") or []) == finals for cell in same_winner):
        return DONE
    if not finals:
        return TUNED
    return DONE if all(read(run_id) is not None for run_id in finals) else FINAL
