"""study.json of one study from several.

`optbench sweep` makes the whole file again from its command line and the run folders (conduct.py), but needs the
configuration files, and the code, that the study was made with; a machine that only merges may have neither. So cells
are joined here by their label. Trials are united where the ledgers agree on them: same values, same runs. How each
ended, its score, the winner and its edges are then worked out anew from the merged run folders, by the sweep's own
rules, as a trial whose seeds ran on two machines is open in both ledgers. Final runs are those of a ledger with that
winner. Where ledgers do not agree on a cell the first one's is kept, which is said, and the sweep's command sets it
right: nothing here is needed to go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optbench.config import Dimension
from optbench.sweeps.scheduler.cell_progress import DONE, EDGE, TUNED
from optbench.sweeps.scheduler.study_file import HISTORY, ending
from optbench.sweeps.study.cells import FINAL, TUNE
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.space import Box

Tree = Mapping[str, Any]
Read = Callable[[str], Outcome | None]
SAME = ("choices", "optimizer", "implementation", "model", "data", "workload", "budget", "steps", "batch_size")


def united(ledgers: Sequence[tuple[str, Tree]], read: Read) -> tuple[dict[str, Any], list[str]]:
    """One study.json of those of several trees, each with its tree's name, and what does not fit together; `read` gives
    the outcome of a merged run."""
    (name, first), *others = ledgers
    notes = [
        f"{other}: its settings differ from {name}'s: {words}"
        for other, tree in others
        if (words := changed(first, tree))
    ]
    by_label: dict[str, list[tuple[str, Tree]]] = {}
    for tree_name, tree in ledgers:
        for cell in tree["cells"]:
            by_label.setdefault(cell["label"], []).append((tree_name, cell))
    cells = []
    for label, same in by_label.items():
        wrong = disagreement([cell for _, cell in same])
        notes += remarks(label, wrong, same)
        told = [same[0][1]] if wrong else [cell for _, cell in same]
        cells.append(joined(told, first.get("settings") or {}, read))
    return {**first, "cells": cells, "history": history([tree for _, tree in ledgers])}, notes


def changed(a: Tree, b: Tree) -> str:
    """The settings in which two ledgers differ, in words."""
    one, two = a.get("settings") or {}, b.get("settings") or {}
    return ", ".join(f"{key} {one.get(key)} and {two.get(key)}" for key in one if one.get(key) != two.get(key))


def history(trees: Sequence[Tree]) -> list[Any]:
    """Earlier settings of the first, then whatever else the others were asked for."""
    found = list(trees[0].get("history") or ())
    for tree in trees[1:]:
        for settings in (*(tree.get("history") or ()), tree.get("settings")):
            if settings and settings not in found and settings != trees[0].get("settings"):
                found.append(settings)
    return found[-HISTORY:]


def disagreement(cells: Sequence[Tree]) -> str:
    """What ledgers say differently of one cell; "" where they agree."""
    first, *others = cells
    for cell in others:
        for key in SAME:
            if first.get(key) != cell.get(key):
                return f"{key} {first.get(key)} and {cell.get(key)}"
        known = {trial["trial"]: trial for trial in first["trials"]}
        for trial in cell["trials"]:
            old = known.get(trial["trial"], trial)
            if (old["values"], old["runs"]) != (trial["values"], trial["runs"]):
                return f"trial {trial['trial']} is not the same point and runs"
    return ""


def remarks(label: str, wrong: str, same: Sequence[tuple[str, Tree]]) -> list[str]:
    """What does not fit together in one cell: what the ledgers do not agree on, or final runs of several winners, all
    of which a report would take for seeds of one."""
    if wrong:
        return [f"cell {label!r}: {wrong}: that of {same[0][0]} is kept; the sweep's command sets it right"]
    rerun = {
        cell.get("winner"): f"of trial {cell.get('winner')} in {name}" for name, cell in same if cell.get("finals")
    }
    return [f"cell {label!r} has final runs {' and '.join(rerun.values())}"] if len(rerun) > 1 else []


def joined(cells: Sequence[Tree], settings: Tree, read: Read) -> dict[str, Any]:
    """One cell of several that agree."""
    furthest = max(cells, key=lambda cell: (cell.get("extensions") or 0, len(cell["trials"])))
    trials = {trial["trial"]: trial for cell in (*cells, furthest) for trial in cell["trials"]}
    if not any(trial["runs"] for trial in trials.values()):
        return dict(furthest)
    told = [ended(trials[number], read) for number in sorted(trials)]
    scored = [trial for trial in told if trial.get("score") is not None]
    best = max(scored, key=lambda trial: (trial["score"], -trial["trial"])) if scored else None
    winner = best["trial"] if best else None
    mates = [cell for cell in cells if cell.get("winner") == winner]
    finals = max((cell.get("finals") or [] for cell in mates), key=len, default=[])
    measured = next((cell for cell in cells if cell.get("metric")), furthest)
    return {
        **furthest,
        "metric": measured.get("metric"),
        "direction": measured.get("direction"),
        "stage": stage(told, finals, mates, read),
        "trials": told,
        "winner": winner,
        "edges": edges(furthest, best, settings.get("trials") or len(told)),
        "finals": finals,
    }


def ended(trial: Tree, read: Read) -> dict[str, Any]:
    """A trial with how it ended by the merged runs; as it was told where they do not say (a run that was refused has
    left nothing)."""
    outcomes = [read(run_id) for run_id in trial["runs"]]
    if not outcomes or (None in outcomes and trial.get("state") != "open"):
        return dict(trial)
    scores = [outcome.score for outcome in outcomes if outcome is not None and outcome.score is not None]
    score = sum(scores) / len(scores) if len(scores) == len(outcomes) else None
    return {**trial, **ending(outcomes), "score": score}


def edges(cell: Tree, best: Tree | None, trials: int) -> list[list[str]]:
    """The edges of the cell's box that its winner lies on (course.py)."""
    if best is None:
        return []
    dimensions = [Dimension(**{**d, "values": tuple(d.get("values") or ())}) for d in cell.get("dimensions") or ()]
    share = min(max(1 / trials, EDGE[0]), EDGE[1])
    return [list(edge) for edge in Box(tuple(dimensions)).edges(best["values"], share)]


def stage(trials: Sequence[Tree], finals: Sequence[str], mates: Sequence[Tree], read: Read) -> str:
    """How far the cell has come; `mates`: what the ledgers with its winner say."""
    if any(trial.get("state") == "open" for trial in trials):
        return TUNE
    if any(cell.get("stage") == DONE and (cell.get("finals") or []) == finals for cell in mates):
        return DONE
    if not finals:
        return TUNED
    return DONE if all(read(run_id) is not None for run_id in finals) else FINAL
