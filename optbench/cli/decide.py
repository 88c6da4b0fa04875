"""`optbench reproduce --decide-only`: published claims decided again from their stored runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.output import Output
from optbench.cli.reproduce import ReproduceFlags, destination, prepare
from optbench.cli.tables import table
from optbench.errors import ExpectationFailed, NoResultsError, OptbenchError, suggest
from optbench.sweeps.options import SweepOptions

if TYPE_CHECKING:
    from optbench.reproducing.again import Redecided
    from optbench.reproducing.document import VerdictDocument

log = logging.getLogger(__name__)


def decide_stored(slug: str, how: SweepOptions, wanted: ReproduceFlags, output: Output) -> None:
    """Decide the published claims of a slug, or all of them if it is empty, and print what changed.

    An error of one claim goes into the table, and raises ExpectationFailed at the end."""
    trees: list[dict[str, Any]] = []
    for folder, before in published_of(slug, how, wanted):
        name = folder.name
        try:
            trees.append(one(folder, before, how, wanted))
        except OptbenchError as error:
            log.warning(f"{name}: {error}")
            trees.append({"claim": name, "before": before.get("verdict"), "now": f"error: {error.message}", "why": []})
    output.answer(trees, lambda: table("claims", [row(tree) for tree in trees]))
    failed = [tree["claim"] for tree in trees if "holds" not in tree]
    if failed:
        raise ExpectationFailed(f"{len(failed)} of {len(trees)} claims could not be decided: {', '.join(failed)}")


def published_of(slug: str, how: SweepOptions, wanted: ReproduceFlags) -> Iterator[tuple[Path, VerdictDocument]]:
    """Yield the published verdicts of a slug and scale, with their folders. Raises NoResultsError if there are none."""
    from optbench.reproducing.document import FILE
    from optbench.reproducing.find import FILE as STUDY
    from optbench.reproducing.find import experiments_folder
    from optbench.reproducing.published import read

    root = destination(experiments_folder(wanted.experiments) / "any" / STUDY, wanted.published)
    found = [(file.parent, read(file)) for file in sorted(root.glob(f"*/{FILE}"))]
    chosen = [
        (folder, tree)
        for folder, tree in found
        if slug in ("", tree.get("slug")) and how.scale in (None, tree.get("scale"))
    ]
    if not chosen:
        slugs = sorted({tree.get("slug", "") for _, tree in found})
        what = f"{slug or 'no claim'} is published{f' at scale {how.scale}' if how.scale else ''}"
        raise NoResultsError(f"{root}: {'nothing of ' if slug else ''}{what}", suggest(slug, slugs))
    yield from chosen


def one(folder: Path, before: VerdictDocument, how: SweepOptions, wanted: ReproduceFlags) -> dict[str, Any]:
    """Return one claim, decided again, as plain data; with --publish write it."""
    from optbench.reports.build.workload import ReportOptions
    from optbench.reports.comparable import check_kinds
    from optbench.reproducing.again import decide_again
    from optbench.reproducing.publish import publish

    slug = before.get("slug", "")
    prepared = prepare(slug, replace(how, scale=before.get("scale")), wanted)
    options = ReportOptions(mix=check_kinds(wanted.mix))
    title, study, cells = prepared.experiment.title, prepared.study, prepared.cells
    found = decide_again(slug, title, study, cells, prepared.criteria, folder, before, options)
    written = [str(file) for file in publish(found.now, folder)] if wanted.publish else []
    return {**tree_of(folder.name, found), "written": written}


def tree_of(name: str, found: Redecided) -> dict[str, Any]:
    """Return a claim that was decided again as plain data."""
    claim = found.now.claim
    again = {"claim": name, "before": found.before.get("verdict"), "now": claim.verdict, "holds": claim.holds}
    return {**again, "why": found.changes, "sentence": claim.sentence, "level": claim.level}


def row(tree: dict[str, Any]) -> dict[str, str]:
    """Return the row of one claim."""
    same = tree["before"] == tree["now"]
    why: Sequence[str] = tree["why"]
    return {
        "claim": tree["claim"],
        "published": tree["before"] or "",
        "now": "the same" if same else tree["now"],
        "why": "; ".join(why),
    }
