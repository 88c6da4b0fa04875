"""`optbench reproduce`: a claim under experiments/ from its study to its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice
from optbench.cli.sweep import How, print_plan, run_study, show_plan, statuses_of
from optbench.cli.tables import table
from optbench.errors import ConfigError, Interrupted, NotHeld, OptbenchError
from optbench.store import check_study, results_root

if TYPE_CHECKING:
    from optbench.config.claims import Criterion
    from optbench.reproducing.find import Experiment
    from optbench.reproducing.publish import Reproduced
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study

KINDS = ("html", "md", "json")


@dataclass(frozen=True)
class Wanted:
    """What `optbench reproduce` was asked for, beside how runs are run."""

    experiments: Path | None
    publish: bool
    output: Path | None
    """The folder whose SLUG-SCALE/ takes what is published."""
    mix: Sequence[str]
    dry_run: bool
    as_json: bool
    quiet: bool


@dataclass(frozen=True)
class Prepared:
    """A claim that can be run."""

    experiment: Experiment
    study: Study
    cells: Sequence[Cell]
    criteria: Sequence[Criterion]


def reproduce(slug: str, how: How, wanted: Wanted, notice: Notice, emit: Emit) -> None:
    """`optbench reproduce SLUG`. Raises NotHeld (exit 3) unless the claim is supported."""
    prepared = prepare(slug, how, wanted)
    if wanted.dry_run:
        show_plan(prepared.study, prepared.cells, results_root(how.results_dir), how, wanted.as_json, notice, emit)
        return
    found, tree = carry_out(prepared, how, wanted, notice)
    emit(wanted.as_json, tree, lambda: print("\n".join(lines(found, tree))))
    if not found.claim.holds:
        raise NotHeld(f"{slug}: the claim is {tree['verdict']}")


def reproduce_all(how: How, wanted: Wanted, notice: Notice, emit: Emit) -> None:
    """`optbench reproduce --all`: every claim that has the scale, and their table. What cannot be run has its error in
    the table. Raises NotHeld (exit 3) unless all are supported."""
    from optbench.reproducing.find import experiments_folder, find, slugs

    folder = experiments_folder(wanted.experiments)
    trees: list[dict[str, Any]] = []
    for slug in slugs(folder):
        try:
            if how.scale and how.scale not in find(slug, folder).scales:
                notice(f"{slug}: has no scale {how.scale}, and is left out")
                continue
            trees.append(one_of_all(slug, how, wanted, notice))
        except Interrupted:
            raise
        except OptbenchError as error:
            notice(f"{slug}: {error}")
            trees.append({"slug": slug, "verdict": f"error: {error.args[0]}", "exit_code": error.exit_code})
    if not trees:
        raise ConfigError(f"{folder}: there is no experiment to run", "optbench list experiments shows what there is")
    if wanted.dry_run:
        emit(wanted.as_json, trees, lambda: [print_plan(tree) for tree in trees if "cells" in tree])
        return
    emit(wanted.as_json, trees, lambda: table("claims", [row(tree) for tree in trees]))
    short = [tree["slug"] for tree in trees if tree["verdict"] != "supported"]
    if short:
        raise NotHeld(f"{len(short)} of {len(trees)} claims are not supported: {', '.join(short)}")


def one_of_all(slug: str, how: How, wanted: Wanted, notice: Notice) -> dict[str, Any]:
    """One claim of all, for machines: its verdict, or its plan."""
    prepared = prepare(slug, how, wanted)
    if not wanted.dry_run:
        notice(f"{slug}: {prepared.experiment.title}")
        return carry_out(prepared, how, wanted, notice)[1]
    from optbench.sweeps.dry_run.plan import plan
    from optbench.sweeps.executors.registry import choose

    settings = {"jobs": how.jobs, "per_device": how.per_device, "retry": statuses_of(how.retry), "notice": notice}
    executor = choose(how.executor, how.config_dir)
    root = results_root(how.results_dir)
    tree, refusal = plan(prepared.study, prepared.cells, root, **settings, executor=executor)
    if refusal is not None:
        raise refusal
    return {"slug": slug, **tree}


def prepare(slug: str, how: How, wanted: Wanted) -> Prepared:
    """Find a claim, read its study and check that it can be decided. Raises ConfigError."""
    from optbench.config.claims import criteria_of
    from optbench.reports.comparable import check_kinds
    from optbench.reproducing.find import experiments_folder, find
    from optbench.reproducing.validate import check_claim
    from optbench.sweeps.study.cells import expand
    from optbench.sweeps.study.study import make_study

    experiment = find(slug, experiments_folder(wanted.experiments))
    if how.jobs is not None and how.jobs < 1:
        raise ConfigError(f"--jobs {how.jobs}: expected at least one")
    check_kinds(wanted.mix)
    statuses_of(how.retry)
    study = make_study([], {}, file=experiment.file, scale=how.scale, config_dir=how.config_dir)
    check_study(study.name)
    if not study.claim:
        raise ConfigError(f"{experiment.file}: has no claim", "It says what the study is to decide")
    criteria = criteria_of(study.claim, f"{experiment.file}: claim")
    cells = expand(study, how.config_dir)
    check_claim(criteria, cells, str(experiment.file))
    return Prepared(experiment, study, cells, criteria)


def carry_out(prepared: Prepared, how: How, wanted: Wanted, notice: Notice) -> tuple[Reproduced, dict[str, Any]]:
    """Run what is missing, decide, write the report and what is to be published; what came of it, also for machines."""
    from optbench.reports.render.write import plain, write_report
    from optbench.reproducing.publish import VERDICT, publish, verdict_tree
    from optbench.sweeps.executors.registry import choose

    start, root = time.monotonic(), results_root(how.results_dir)
    conductor = run_study(
        prepared.study,
        prepared.cells,
        root,
        jobs=how.jobs,
        per_device=how.per_device,
        retry=statuses_of(how.retry),
        quiet=wanted.quiet or wanted.as_json,
        notice=notice,
        executor=choose(how.executor, how.config_dir),
    )
    if conductor.refusals and len(conductor.failures()) == len(conductor.planned_runs):
        raise conductor.refusals[0]  # nothing at all could be run
    found = decided(prepared, root, wanted, notice)
    files = write_report(found.report, root / prepared.study.name / "report", root=root, kinds=KINDS)
    target = destination(prepared.experiment.file, wanted.output) / found.name
    tree = plain(verdict_tree(found))
    tree |= {"elapsed_seconds": round(time.monotonic() - start, 1), "ran": conductor.ran}
    tree |= {"folder": str(root / prepared.study.name), "report": str(files[0])}
    tree["published"] = before_of(tree, target / VERDICT)
    tree["written"] = [str(file) for file in publish(found, target)] if wanted.publish else []
    return found, tree


def before_of(tree: Mapping[str, Any], file: Path) -> str | None:
    """How the verdict stands to the published one, where there is one."""
    from optbench.reproducing.published import agreement, read

    return agreement(tree, read(file)) if file.is_file() else None


def decided(prepared: Prepared, root: Path, wanted: Wanted, notice: Notice) -> Reproduced:
    """The report of the study, with the verdict in it."""
    from optbench.reports.build.report import build
    from optbench.reports.build.workload import Asked
    from optbench.reports.comparable import check_kinds
    from optbench.reports.read.reading import read
    from optbench.reproducing.publish import Reproduced, command_of

    results = read(root / prepared.study.name)
    for path, reason in results.skipped:
        notice(f"left out: {path}: {reason}")
    slug, scale = prepared.experiment.slug, prepared.study.scale
    report = build(results, Asked(mix=check_kinds(wanted.mix), command=command_of(slug, scale)))
    return Reproduced(slug, scale, prepared.experiment.title, prepared.study.claim, report, results)


def destination(file: Path, output: Path | None) -> Path:
    """The folder of published verdicts: the one given, that of the checkout, else of the working folder."""
    from optbench.reproducing.published import FOLDER

    if output is not None:
        return output.expanduser()
    checkout = file.resolve().parent.parent.parent
    return checkout / FOLDER if (checkout / "pyproject.toml").is_file() else FOLDER


def lines(found: Reproduced, tree: Mapping[str, Any]) -> list[str]:
    """The verdict for people: the claim, a line for each criterion, where the rest is."""
    from optbench.reports.render.terminal import clean

    claim = found.claim
    rests = "" if claim.seeds is None else f" (n = {claim.seeds} seeds{': few' if claim.few else ''})"
    said = [f"{found.name}: {found.title or claim.text}", *(f"  {line}" for line in claim.lines)]
    said += [f"verdict  {claim.verdict}{rests}"]
    said += [f"         {tree['published']}"] if tree["published"] else []
    failed = tree["runs"]["failed"]
    said += [f"runs     {tree['runs']['all']}, {failed} of them failed; {tree['ran']} now"]
    said += [f"report   {tree['report']}"]
    said += [f"written  {', '.join(tree['written'])}"] if tree["written"] else []
    return [clean(line) for line in said]


def row(tree: Mapping[str, Any]) -> dict[str, str]:
    """One claim of the table."""
    seeds = tree.get("seeds")
    return {
        "claim": tree["slug"],
        "scale": tree.get("scale") or "",
        "verdict": tree["verdict"],
        "n": "" if seeds is None else str(seeds),
        "seconds": f"{tree['elapsed_seconds']:.0f}" if "elapsed_seconds" in tree else "",
        "published": tree.get("published") or "",
    }


def summarise(experiments: Path | None, output: Path | None, *, check: bool, notice: Notice) -> None:
    """`optbench reproduce --summary [--check]`: the table of the published verdicts in README.md and results/README.md.
    Raises NotHeld (exit 3) with --check where one is stale."""
    from optbench.reproducing import summary
    from optbench.reproducing.find import FILE, experiments_folder
    from optbench.reproducing.published import verdicts

    folder = output.expanduser() if output else destination(experiments_folder(experiments) / "any" / FILE, None)
    found = verdicts(folder)
    places = [folder.resolve().parent.parent / "README.md", folder.resolve().parent / "README.md"]
    files = [file for file in places if file.is_file()]
    if not files:
        raise ConfigError(f"{places[0]}: there is no such file", "The table stands in README.md and results/README.md")
    if not check:
        summary.write(files, found, folder)
        notice(f"written: {', '.join(map(str, files))} ({len(found)} verdicts)")
        return
    old = summary.stale(files, found, folder)
    if old:
        raise NotHeld(f"{', '.join(map(str, old))}: not what {folder} says", "Write it: optbench reproduce --summary")
    notice(f"{len(found)} verdicts, and {len(files)} files say so")
