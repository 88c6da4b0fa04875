"""`optbench merge`: results trees of several machines as one."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice
from optbench.errors import ConfigError, Interrupted, NotHeld

if TYPE_CHECKING:
    from optbench.merging.join import StudyPlan


def merge(
    trees: Sequence[Path],
    out: Path,
    *,
    mix: Sequence[str],
    link: bool,
    move: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """`optbench merge A B -o OUT`. Raises NotHeld (exit 3) where two ended runs of one configuration differ, after
    everything else is merged; Interrupted after Ctrl-C."""
    from optbench.merging import join
    from optbench.merging.copy import Way
    from optbench.merging.mixing import checked

    if link and move:
        raise ConfigError("--link and --move: one of them")
    way = Way.LINK if link else Way.MOVE if move else Way.COPY
    say: Notice = (lambda text: None) if quiet else notice
    plans = join.plan(trees, out, checked(mix), say)
    try:
        if not dry_run:
            join.merge(plans, out, way, say)
    except KeyboardInterrupt:
        raise Interrupted(
            signal.SIGINT, f"interrupted: what lies in {out} is whole", "The same command goes on from there"
        ) from None
    for line in remarks(plans):
        notice(line)
    emit(as_json, tree_of(plans, out, dry_run), lambda: print("\n".join(lines(plans, out, dry_run))))
    conflicts = [conflict for made in plans for conflict in made.conflicts]
    if conflicts:
        raise NotHeld(
            f"{len(conflicts)} of the runs that several trees have ended differently; the first one of each is kept",
            "Runs are the same on equal hardware, threads and versions only",
        )


def remarks(plans: Sequence[StudyPlan]) -> list[str]:
    """What is worth knowing of single runs and files."""
    found = []
    for made in plans:
        found += [f"mixed: {line}" for line in made.mixed]
        found += made.notes
        found += [f"damaged, and taken as it is: {held.folder}: {held.damage}" for held in made.damaged]
        found += [f"being run, and left where it is: {held.folder}" for held in made.running]
        found += [f"conflict: {conflict.words()}" for conflict in made.conflicts]
    return found


def lines(plans: Sequence[StudyPlan], out: Path, dry_run: bool) -> list[str]:
    """The answer for people: a line for each study."""
    would = "would come" if dry_run else "came"
    found = []
    for made in plans:
        counts = Counter(held.tree for held in made.copies)
        came = ", ".join(f"{count:,} from {tree}" for tree, count in counts.items())
        rest = [f"{made.same:,} in several trees"] if made.same else []
        rest += [f"{len(made.conflicts):,} in conflict"] if made.conflicts else []
        what = f"{came} {would}" if came else "nothing new"
        found.append(f"{out / made.name}: {made.runs:,} runs: {'; '.join([what, *rest])}")
    return found


def tree_of(plans: Sequence[StudyPlan], out: Path, dry_run: bool) -> dict[str, Any]:
    """The answer for machines."""
    return {"out": str(out), "dry_run": dry_run, "studies": [study_tree(made) for made in plans]}


def study_tree(made: StudyPlan) -> dict[str, Any]:
    """One study."""
    return {
        "study": made.name,
        "runs": made.runs,
        "copied": [{"run_id": held.run_id, "tree": held.tree, "status": held.status} for held in made.copies],
        "set_aside": sorted(made.aside),
        "kept": made.kept,
        "same": made.same,
        "conflicts": [
            {
                "run_id": conflict.kept.run_id,
                "kept": str(conflict.kept.folder),
                "other": str(conflict.other.folder),
                "difference": conflict.difference,
                "words": conflict.words(),
            }
            for conflict in made.conflicts
        ],
        "damaged": [{"folder": str(held.folder), "reason": held.damage} for held in made.damaged],
        "running": [str(held.folder) for held in made.running],
        "mixed": made.mixed,
        "study_json": made.ledger is not None,
        "notes": made.notes,
    }
