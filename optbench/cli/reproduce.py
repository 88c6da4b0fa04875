"""`optbench reproduce`: a claim under experiments/ from its study to its verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli import options
from optbench.cli.completion import complete_slug
from optbench.cli.options import AsJson, ConfigDir, Debug, ResultsDir, split
from optbench.cli.output import Output
from optbench.cli.sweep import print_plan, show_plan
from optbench.cli.tables import table
from optbench.cli.trust import asked as asked_to_trust
from optbench.errors import ConfigError, ExpectationFailed, Interrupted, OptbenchError
from optbench.files import expanded
from optbench.sweeps.options import SweepOptions
from optbench.sweeps.start import plan_of, planned_study, run_study

if TYPE_CHECKING:
    from optbench.config.claims import Criterion
    from optbench.reproducing.find import Experiment
    from optbench.reproducing.publish import ReproducedClaim
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study

log = logging.getLogger(__name__)
KINDS = ("html", "md", "json")

Slug = Annotated[str, typer.Argument(help="A claim under experiments/, e.g. lion-vit", autocompletion=complete_slug)]
Everything = Annotated[bool, typer.Option("--all", help="Every claim, and their table.")]
Publish = Annotated[
    bool, typer.Option("--publish", help="Also write verdict, report, figure and table of runs, to be committed.")
]
Published = Annotated[
    Path | None, typer.Option("-o", "--output", help="Folder of published claims.  [default: results/claims]")
]
Summary = Annotated[
    bool,
    typer.Option("--summary", help="Write docs/results/claims.md, the published claims; run nothing."),
]
DecideOnly = Annotated[
    bool, typer.Option("--decide-only", help="Decide published claims again from their runs.csv; run nothing.")
]
Check = Annotated[bool, typer.Option("--check", help="With --summary: write nothing, exit 3 if it is out of date.")]
Experiments = Annotated[
    Path | None, typer.Option("--experiments-dir", help="Folder of claims.  [default: experiments, or the package's]")
]


@dataclass(frozen=True)
class ReproduceFlags:
    """The options of `optbench reproduce` beside those of its sweep (`SweepOptions`)."""

    experiments: Path | None
    publish: bool
    published: Path | None
    """The folder whose SLUG-SCALE/ takes what is published."""
    mix: Sequence[str]
    dry_run: bool


def reproduce(
    slug: Slug = "",
    scale: options.Scale = None,
    everything: Everything = False,
    publish: Publish = False,
    published: Published = None,
    summary: Summary = False,
    check: Check = False,
    decide_only: DecideOnly = False,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    executor: options.Executor = "local",
    retry: options.Retry = "",
    mix: options.Mix = "",
    trust: options.Trust = False,
    experiments_dir: Experiments = None,
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Put a claim to the test: optbench reproduce lion-vit

    Verdicts: supported (exit code 0); not supported, mixed (k of n), undecided, not testable here (exit code 3)."""
    output = Output(as_json, quiet)
    asked = [word for word, given in ((slug, slug), ("--all", everything), ("--summary", summary)) if given]
    if len(asked) != 1:
        raise ConfigError(
            f"{' and '.join(asked)} are mutually exclusive" if asked else "Nothing to reproduce: name a claim",
            "optbench reproduce SLUG, or --all, or --summary; `optbench list experiments` lists the claims",
        )
    if check and not summary:
        raise ConfigError("--check works with --summary only")
    if decide_only and (summary or dry_run):
        raise ConfigError("--decide-only works with a claim or --all, and runs nothing")
    if summary:
        summarise(experiments_dir, published, check=check)
        return
    how = SweepOptions(None, scale, None, jobs, per_device, executor, split(retry), results_dir, config_dir, "", trust)
    wanted = ReproduceFlags(experiments_dir, publish, published, split(mix), dry_run)
    if decide_only:
        from optbench.cli.decide import decide_stored

        decide_stored(slug, how, wanted, output)
    elif everything:
        reproduce_all(how, wanted, output)
    else:
        reproduce_one(slug, how, wanted, output)


@dataclass(frozen=True)
class Prepared:
    """A claim that is ready to run."""

    experiment: Experiment
    study: Study
    cells: Sequence[Cell]
    criteria: Sequence[Criterion]


def reproduce_one(slug: str, how: SweepOptions, wanted: ReproduceFlags, output: Output) -> None:
    """Run one claim and print its verdict. Raise ExpectationFailed unless it is supported."""
    prepared = prepare(slug, how, wanted)
    if wanted.dry_run:
        show_plan(prepared.study, prepared.cells, how, output)
        return
    found, tree = carry_out(prepared, how, wanted, output)
    output.lines(tree, lines(found, tree))
    if not found.claim.holds:
        raise ExpectationFailed(f"{slug}: the claim is {tree['verdict']}")


def reproduce_all(how: SweepOptions, wanted: ReproduceFlags, output: Output) -> None:
    """Run every claim that has the scale and print their table. An error of one claim goes into the table.

    Raise ExpectationFailed unless all are supported."""
    from optbench.reproducing.find import experiments_folder, find, slugs

    folder = experiments_folder(wanted.experiments)
    trees: list[dict[str, Any]] = []
    for slug in slugs(folder):
        try:
            if how.scale and how.scale not in find(slug, folder).scales:
                log.warning(f"{slug}: skipped, since it has no scale {how.scale}")
                continue
            trees.append(one_of_all(slug, how, wanted, output))
        except Interrupted:
            raise
        except OptbenchError as error:
            log.warning(f"{slug}: {error}")
            trees.append({"slug": slug, "verdict": f"error: {error.message}", "exit_code": error.exit_code})
    if not trees:
        raise ConfigError(f"{folder}: no claim to run", "`optbench list experiments` lists the claims")
    if wanted.dry_run:
        output.answer(trees, lambda: [print_plan(tree) for tree in trees if "cells" in tree])
        return
    output.answer(trees, lambda: table("claims", [row(tree) for tree in trees]))
    short = [tree["slug"] for tree in trees if tree["verdict"] != "supported"]
    if short:
        raise ExpectationFailed(f"{len(short)} of {len(trees)} claims are not supported: {', '.join(short)}")


def one_of_all(slug: str, how: SweepOptions, wanted: ReproduceFlags, output: Output) -> dict[str, Any]:
    """Return the verdict of one claim, or its plan, as plain data."""
    prepared = prepare(slug, how, wanted)
    if not wanted.dry_run:
        log.info(f"{slug}: {prepared.experiment.title}")
        return carry_out(prepared, how, wanted, output)[1]
    tree, refusal = plan_of(prepared.study, prepared.cells, how)
    if refusal is not None:
        raise refusal
    return {"slug": slug, **tree}


def prepare(slug: str, how: SweepOptions, wanted: ReproduceFlags) -> Prepared:
    """Find a claim, read its study and check that it can be decided. Raise ConfigError if not."""
    from optbench.config.claims import criteria_of
    from optbench.reports.comparable import check_kinds
    from optbench.reproducing.find import experiments_folder, find
    from optbench.reproducing.validate import check_claim

    experiment = find(slug, experiments_folder(wanted.experiments))
    check_kinds(wanted.mix)
    study, cells = planned_study(experiment.file, [], {}, how, asked_to_trust)
    if not study.claim:
        raise ConfigError(f"{experiment.file}: `claim` is missing", "It states what the study decides")
    criteria = criteria_of(study.claim, f"{experiment.file}: claim")
    check_claim(criteria, cells, str(experiment.file))
    return Prepared(experiment, study, cells, criteria)


def carry_out(
    prepared: Prepared, how: SweepOptions, wanted: ReproduceFlags, output: Output
) -> tuple[ReproducedClaim, dict[str, Any]]:
    """Run what is missing, decide the claim, write the report and with --publish the files to commit.

    Return the decided claim, also as plain data."""
    from optbench.reports.render.write import plain, write_report
    from optbench.reproducing.document import FILE
    from optbench.reproducing.publish import publish, verdict_document

    start, root = time.monotonic(), how.root
    scheduler = run_study(prepared.study, prepared.cells, how, progress=output.shows_progress)
    if scheduler.refusals and len(scheduler.failures()) == len(scheduler.planned_runs):
        raise scheduler.refusals[0]  # nothing at all could be run
    found = decided(prepared, root, wanted)
    files = write_report(found.report, root / prepared.study.name / "report", root=root, kinds=KINDS)
    target = destination(prepared.experiment.file, wanted.published) / found.name
    tree = plain(verdict_document(found))
    tree |= {"elapsed_seconds": round(time.monotonic() - start, 1), "ran": scheduler.ran}
    tree |= {"folder": str(root / prepared.study.name), "report": str(files[0])}
    tree["published"] = before_of(tree, target / FILE)
    tree["written"] = [str(file) for file in publish(found, target)] if wanted.publish else []
    return found, tree


def before_of(tree: Mapping[str, Any], file: Path) -> str | None:
    """Compare the verdict with the published one. Return None if there is none."""
    from optbench.reproducing.published import agreement, read

    return agreement(tree, read(file)) if file.is_file() else None


def decided(prepared: Prepared, root: Path, wanted: ReproduceFlags) -> ReproducedClaim:
    """Return the report of the study with its verdict."""
    from optbench.reports.build.report import build
    from optbench.reports.build.workload import ReportOptions
    from optbench.reports.comparable import check_kinds
    from optbench.reports.read.reading import read
    from optbench.reproducing.publish import ReproducedClaim, command_of

    results = read(root / prepared.study.name)
    for path, reason in results.skipped:
        log.warning(f"left out: {path}: {reason}")
    slug, scale = prepared.experiment.slug, prepared.study.scale
    report = build(results, ReportOptions(mix=check_kinds(wanted.mix), command=command_of(slug, scale)))
    return ReproducedClaim(slug, scale, prepared.experiment.title, prepared.study.claim, report, results)


def destination(file: Path, output: Path | None) -> Path:
    """Return the folder of published verdicts: the given one, else that of the checkout or the working folder."""
    from optbench.reproducing.published import FOLDER

    if output is not None:
        return expanded(output)
    checkout = file.resolve().parent.parent.parent
    return checkout / FOLDER if (checkout / "pyproject.toml").is_file() else FOLDER


def lines(found: ReproducedClaim, tree: Mapping[str, Any]) -> list[str]:
    """Return the lines to print: the claim, its criteria, the verdict, the files."""
    claim = found.claim
    rests = "" if claim.seeds is None else f" (n = {claim.seeds} seeds{': few' if claim.few else ''})"
    said = [f"{found.name}: {found.title or claim.text}", *(f"  {line}" for line in claim.lines)]
    said += [f"verdict  {claim.verdict}{rests}"]
    said += [f"         {tree['published']}"] if tree["published"] else []
    failed = tree["runs"]["failed"]
    said += [f"runs     {tree['runs']['all']}, {failed} of them failed; {tree['ran']} now"]
    said += [f"report   {tree['report']}"]
    said += [f"written  {', '.join(tree['written'])}"] if tree["written"] else []
    return said


def row(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return the row of one claim."""
    seeds = tree.get("seeds")
    return {
        "claim": tree["slug"],
        "scale": tree.get("scale") or "",
        "verdict": tree["verdict"],
        "n": "" if seeds is None else str(seeds),
        "seconds": f"{tree['elapsed_seconds']:.0f}" if "elapsed_seconds" in tree else "",
        "published": tree.get("published") or "",
    }


def summarise(experiments: Path | None, output: Path | None, *, check: bool) -> None:
    """`optbench reproduce --summary [--check]`: the table of the published verdicts and leaderboards, between marks.
    Raises ExpectationFailed (exit 3) with --check where a file is stale."""
    from optbench.reproducing import summary
    from optbench.reproducing.find import FILE, experiments_folder
    from optbench.reproducing.published import verdicts

    folder = expanded(output) if output else destination(experiments_folder(experiments) / "any" / FILE, None)
    found = verdicts(folder)
    files = summary.marked(folder)
    if not check:
        summary.write(files, found, folder)
        log.info(f"written: {', '.join(map(str, files))} ({len(found)} verdicts)")
        return
    old = summary.stale(files, found, folder)
    if old:
        raise ExpectationFailed(f"out of date: {', '.join(map(str, old))}", "Update them: optbench reproduce --summary")
    log.info(f"{len(found)} verdicts; {len(files)} files are up to date")
