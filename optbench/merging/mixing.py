"""Which runs must not lie in one study together: those of one workload on different data, never; those of different
code, unless it is asked for. What counts as different, and its words, are the report's.

A tree that was mixed before is not held against itself: only what the trees have not in common is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from optbench.errors import ConfigError
from optbench.merging.scan import Held
from optbench.reports.comparable import Run, check_kinds, data_of, version_of

ALLOWED = "versions"
SHOWN = 3  # values of a tree in a message


def checked(mix: Collection[str]) -> frozenset[str]:
    """What may be mixed. Raises ConfigError for anything but versions."""
    asked = check_kinds(mix)
    for kind in sorted(asked - {ALLOWED}):
        never = kind == "data"
        raise ConfigError(
            f"--mix {kind}: {'runs on different data are never merged' if never else 'a merge asks for no such leave'}",
            f"Known here: {ALLOWED}" if never else "Runs keep their own, and the report decides",
        )
    return asked


def mixed(study: str, runs: Sequence[Held], mix: Collection[str]) -> list[str]:
    """What the runs of one study mix on request, a sentence each. Raises ConfigError for what nobody asked for."""
    said = []
    for kind, words in (("data", data_of), (ALLOWED, version_of)):
        for workload, by_tree in by_workload(runs, words).items():
            clash = clashing(by_tree)
            if clash is None:
                continue
            trees = "; ".join(f"{tree} has {shown(by_tree[tree])}" for tree in clash)
            what = f"{study}: {workload}: runs of different {kind}: {trees}"
            if kind not in mix:
                raise ConfigError(what, hint(kind))
            said.append(what)
    return said


def hint(kind: str) -> str:
    """What to do about it."""
    if kind == ALLOWED:
        return f"Merge them apart, or say --mix {kind}: the report will then ask for the same"
    return "Merge them apart: what is learnt on other data is another question"


def by_workload(runs: Sequence[Held], words: Callable[[Run], str]) -> dict[str, dict[str, set[str]]]:
    """What is said of the runs of each workload, by tree; nothing of runs that say nothing."""
    found: dict[str, dict[str, set[str]]] = {}
    for held in runs:
        if held.row is not None and (said := words(held.row)):
            found.setdefault(held.row["workload"], {}).setdefault(held.tree, set()).add(said)
    return found


def clashing(by_tree: Mapping[str, set[str]]) -> tuple[str, str] | None:
    """The first tree that brings something new to those before it, of which one has what it has not."""
    before: set[str] = set()
    for tree, own in by_tree.items():
        if not own <= before and not before <= own:
            return next(other for other, there in by_tree.items() if not there <= own), tree
        before |= own
    return None


def shown(values: set[str]) -> str:
    """Some values, and whether there are more."""
    first = sorted(values)[:SHOWN]
    return " and ".join(first) + (" and others" if len(values) > SHOWN else "")
