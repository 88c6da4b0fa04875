"""Refuse runs that must not be in one study.

Runs of one workload on different data are never mixed; runs of different code only on request. The report decides what
counts as different. A tree that is mixed already is not refused for it: only what two trees do not share is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from optbench.errors import ConfigError
from optbench.merging.scan import TreeRun
from optbench.reports.comparable import check_kinds, data_of, version_of
from optbench.reports.read.columns import RunRow

ALLOWED = "versions"
SHOWN = 3  # values of a tree in a message


def check_mix(mix: Collection[str]) -> frozenset[str]:
    """Return what may be mixed. Raises ConfigError for anything but versions."""
    wanted = check_kinds(mix)
    for kind in sorted(wanted - {ALLOWED}):
        if kind == "data":
            raise ConfigError("--mix data: runs on different data are never merged", f"Choose --mix {ALLOWED}")
        raise ConfigError(f"--mix {kind}: not needed for a merge", "Runs keep their own; give it to optbench report")
    return wanted


def find_mixed(study: str, runs: Sequence[TreeRun], mix: Collection[str]) -> list[str]:
    """Return what the runs of one study mix on request, a sentence each. Raises ConfigError for what `mix` lacks."""
    found = []
    for kind, describe in (("data", data_of), (ALLOWED, version_of)):
        for workload, by_tree in by_workload(runs, describe).items():
            clash = first_clash(by_tree)
            if clash is None:
                continue
            trees = "; ".join(f"{tree} has {shown(by_tree[tree])}" for tree in clash)
            what = f"{study}: {workload}: runs of different {kind}: {trees}"
            if kind not in mix:
                raise ConfigError(what, hint(kind))
            found.append(what)
    return found


def hint(kind: str) -> str:
    """Return what to do about runs that must not be mixed."""
    if kind == ALLOWED:
        return f"Merge them separately, or add --mix {kind}; the report will then need it too"
    return "Merge them separately: results on different data are not comparable"


def by_workload(runs: Sequence[TreeRun], describe: Callable[[RunRow], str]) -> dict[str, dict[str, set[str]]]:
    """Return the descriptions of the runs of each workload, by tree, without empty ones."""
    found: dict[str, dict[str, set[str]]] = {}
    for run in runs:
        if run.row is not None and (words := describe(run.row)):
            found.setdefault(run.row["workload"], {}).setdefault(run.tree, set()).add(words)
    return found


def first_clash(by_tree: Mapping[str, set[str]]) -> tuple[str, str] | None:
    """Return the first two trees of which each has something that the other lacks."""
    before: set[str] = set()
    for tree, own in by_tree.items():
        if not own <= before and not before <= own:
            return next(other for other, there in by_tree.items() if not there <= own), tree
        before |= own
    return None


def shown(values: set[str]) -> str:
    """Return the first values, and whether there are more."""
    first = sorted(values)[:SHOWN]
    return " and ".join(first) + (" and others" if len(values) > SHOWN else "")
