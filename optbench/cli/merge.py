"""`optbench merge`: results trees of several machines as one."""

from __future__ import annotations

import logging
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output
from optbench.errors import ConfigError, ExpectationFailed, Interrupted

if TYPE_CHECKING:
    from optbench.merging.join import StudyPlan

log = logging.getLogger(__name__)


def merge(
    trees: Annotated[list[Path], typer.Argument(metavar="TREE...", help="Results folders, or studies' folders")],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Results folder for all of them; runs already in it come first.")
    ],
    mix: Annotated[str, typer.Option(help="Merge in spite of different versions")] = "",
    link: Annotated[bool, typer.Option("--link", help="Hard-link finished runs instead of copying them.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move run folders instead of copying them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be merged, and stop.")] = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Merge the results of several machines: optbench merge A B -o OUT

    Exit code 3 if two trees hold different results of the same run; that of the first tree is kept."""
    from optbench.merging import join
    from optbench.merging.copy import TransferMode
    from optbench.merging.mixing import check_mix

    output = Output(as_json, quiet)
    if link and move:
        raise ConfigError("--link and --move are mutually exclusive")
    mode = TransferMode.LINK if link else TransferMode.MOVE if move else TransferMode.COPY
    plans = join.plan_merge(trees, out, check_mix(options.split(mix)))
    try:
        if not dry_run:
            join.merge(plans, out, mode)
    except KeyboardInterrupt:
        raise Interrupted(
            signal.SIGINT, f"interrupted; everything in {out} is complete", "Run the same command again to continue"
        ) from None
    for line in remarks(plans):
        log.warning(line)
    output.lines(tree_of(plans, out, dry_run), lines(plans, out, dry_run))
    conflicts = [conflict for made in plans for conflict in made.conflicts]
    if conflicts:
        raise ExpectationFailed(
            f"{len(conflicts)} runs have different results in several trees; the first one of each is kept",
            "Runs are reproducible only with the same hardware, threads and versions",
        )


def remarks(plans: Sequence[StudyPlan]) -> list[str]:
    """Return notes on single runs and files."""
    found = []
    for made in plans:
        found += [f"mixed: {line}" for line in made.mixed]
        found += made.notes
        found += [f"damaged, copied unchanged: {held.folder}: {held.damage}" for held in made.damaged]
        found += [f"still running, skipped: {held.folder}" for held in made.running]
        found += [f"conflict: {conflict.words()}" for conflict in made.conflicts]
    return found


def lines(plans: Sequence[StudyPlan], out: Path, dry_run: bool) -> list[str]:
    """Return a line for each study."""
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
    """Return the merge as plain data."""
    return {"out": str(out), "dry_run": dry_run, "studies": [study_tree(made) for made in plans]}


def study_tree(made: StudyPlan) -> dict[str, Any]:
    """Return one study as plain data."""
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
        "study_json": made.study_file is not None,
        "notes": made.notes,
    }
