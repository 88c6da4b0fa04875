"""Runs of one workload at different budgets: workloads of their own where nothing is compared across the budgets.

A study compares contenders at equal budgets; runs of different studies, and plain runs, need not have the same. Within
one study unequal budgets stay together, so that they are refused (`comparable`)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from optbench.reports.comparable import ROUNDING
from optbench.reports.read.columns import RunRow

Shape = tuple[int, int]
"""Steps and batch size."""


def apart(groups: Mapping[str, Sequence[RunRow]], mix: Collection[str]) -> dict[str, list[RunRow]]:
    """Return the runs by workload, those of different budgets under names that say so."""
    found: dict[str, list[RunRow]] = {}
    for name, runs in groups.items():
        split = [list(runs)] if "budgets" in mix else by_budget(runs)
        words = budget_words(split)
        for own, word in zip(split, words, strict=True):
            new = f"{name} {word}" if word else name
            found[new] = [{**run, "workload": new} for run in own] if word else own
    return found


def by_budget(runs: Sequence[RunRow]) -> list[list[RunRow]]:
    """Return the runs of one workload, by budget from small to large; all together if one study has several budgets."""
    spent = {run["run_id"]: evaluated(run, runs) for run in runs}
    owners: dict[tuple[str, str], list[RunRow]] = {}
    for run in runs:  # every run of a study goes where its study goes, a plain run goes alone
        owners.setdefault((run["study"], "" if run["stage"] else run["run_id"]), []).append(run)
    budget = {}
    for owner, own in owners.items():
        full = max(run["budget"] or 1.0 for run in own)
        budgets = [spent[run["run_id"]] for run in own if (run["budget"] or 1.0) == full]
        if max(budgets) > (1 + ROUNDING) * min(budgets):
            return [list(runs)]
        budget[owner] = min(budgets)
    found: list[list[RunRow]] = []
    last = 0.0
    for owner in sorted(owners, key=lambda one: (budget[one], one)):
        if not found or budget[owner] > (1 + ROUNDING) * last:
            found.append([])
            last = budget[owner]
        found[-1] += owners[owner]
    return [sorted(own, key=lambda run: run["run_id"]) for own in found]


def evaluated(run: RunRow, runs: Sequence[RunRow]) -> float:
    """Return a run's planned samples through gradient evaluations; one that ended early has as many a step as others of
    its contender."""
    for other in itertools.chain([run], (other for other in runs if other["contender"] == run["contender"])):
        steps, evaluations = other["steps_done"], other["gradient_evaluations"]
        if steps and evaluations:
            return run["steps"] * run["batch_size"] * evaluations / steps
    return float(run["steps"] * run["batch_size"])


def budget_words(split: Sequence[Sequence[RunRow]]) -> list[str]:
    """Return what tells the budgets apart, in the words of a command line; nothing for a single one."""
    if len(split) < 2:
        return [""]
    shapes: list[list[Shape]] = [sorted({(run["steps"], run["batch_size"]) for run in own}) for own in split]
    batches = {batch for own in shapes for _, batch in own}
    words = [
        " or ".join(f"steps={steps}" + (f" batch_size={batch}" if len(batches) > 1 else "") for steps, batch in own)
        for own in shapes
    ]
    same = len(set(words)) < len(words)
    return [f"{word}, budget {n}" if same else word for n, word in enumerate(words, 1)]
