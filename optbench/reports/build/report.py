"""Build a report from the tables of runs: which runs are compared, and every section of every workload."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from optbench.errors import NoResultsError
from optbench.reports.build.across import across
from optbench.reports.build.axes import axes
from optbench.reports.build.budgets import apart
from optbench.reports.build.next_steps import next_steps
from optbench.reports.build.workload import ReportOptions, at_full_budget, workload
from optbench.reports.claims.deciding import claims_in, decide_claim, is_paired
from optbench.reports.claims.sides import Side, sides_of
from optbench.reports.contenders import OPEN, PRUNED, TUNE, succeeded
from optbench.reports.model.content import Claim, Failure, Note, Report, RunDetail
from optbench.reports.model.table import capital
from optbench.reports.read.columns import RunRow
from optbench.reports.read.settings import config_of
from optbench.reports.read.study_file import StudyFile, cells_of
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.evidence import uncovered

if TYPE_CHECKING:
    import polars

    from optbench.reports.read.reading import Results


def build(results: Results, options: ReportOptions) -> Report:
    """Build the report of everything that was read.

    Raises NoResultsError if no run has ended, ConfigError if runs must not be compared."""
    from optbench import __version__

    options = with_settings(options, results.studies)
    groups = apart(grouped(results.runs), options.mix)
    runs = sorted((run for group in groups.values() for run in group), key=lambda run: run["run_id"])
    ended = [run for run in runs if run["status"] != OPEN]
    if not ended:
        raise NoResultsError(f"{results.root}: none of the {len(runs)} runs has ended yet")
    cells = cells_of(results.studies)
    drawn = [run["run_id"] for group in groups.values() for run in at_full_budget(group) if run["stage"] != TUNE]
    records, damaged = results.records(drawn) if options.records and drawn else (None, ())
    made = [
        workload(name, group, cells, records_of(group, records), options, len(drawn)) for name, group in groups.items()
    ]
    found = tuple(one.workload for one in made)
    sides = sides_of(runs, cells, paired=is_paired(results.studies))
    failures = tuple(failure(run) for run in ended if run["status"] != PRUNED and not succeeded(run))
    return Report(
        title=", ".join(sorted({run["study"] for run in runs})),
        studies=tuple(sorted({run["study"] for run in runs})),
        made_with=f"optbench {__version__}",
        command=options.command,
        answer=tuple(line for one in made for line in one.workload.answer),
        assumptions=(
            *assumptions(options, [arm for one in made for arm in one.arms]),
            *(note for one in made for note in one.notes),
        ),
        mixed=tuple(line for one in made for line in one.mixed),
        level=options.level,
        workloads=found,
        across=across(found, {one.workload.name: one.arms for one in made}, options.level),
        runs=tuple(detail(run) for run in runs),
        failures=failures,
        skipped=(*results.skipped, *damaged),
        claim=claim(sides, results.studies, options.level),
        open_runs=len(runs) - len(ended),
        next_steps=next_steps(results, found, failures),
        notes=notes(ended),
        axes=axes(sides, found, options.level),
    )


def notes(runs: Sequence[RunRow]) -> tuple[Note, ...]:
    """Return what training scripts leave open: each sentence once, with the runs that it is about."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        for text in dict.fromkeys(run["notes"] or ()):
            found.setdefault(text, Counter())[run["contender"]] += 1
    return tuple(Note(text, dict(sorted(counts.items()))) for text, counts in found.items())


def with_settings(options: ReportOptions, studies: Mapping[str, StudyFile]) -> ReportOptions:
    """Return the options with what the settings of the studies say; what must hold for all is false without any."""
    settings = {name: tree["settings"] for name, tree in studies.items()}
    seeds = {name: found.get("seeds") for name, found in settings.items()}
    return replace(
        options,
        allow_unequal=bool(settings) and all(found.get("allow_unequal") for found in settings.values()),
        paired=bool(settings) and all(found.get("paired") for found in settings.values()),
        planned={name: count for name, count in seeds.items() if isinstance(count, int)},
    )


def claim(sides: Sequence[Side], studies: Mapping[str, StudyFile], level: float) -> Claim | None:
    """Return the verdict on the study's claim, None if it has none."""
    found = claims_in(studies)
    if found is None:
        return None
    title, criteria = found
    return decide_claim(title, criteria, sides, level)


def grouped(runs: Sequence[RunRow]) -> dict[str, list[RunRow]]:
    """Return the runs by workload, sorted by name."""
    found: dict[str, list[RunRow]] = {}
    for run in sorted(runs, key=lambda run: (run["workload"], run["run_id"])):
        found.setdefault(run["workload"], []).append(run)
    return found


def records_of(runs: Sequence[RunRow], records: polars.DataFrame | None) -> polars.DataFrame | None:
    """Return the records of some runs."""
    import polars as pl

    if records is None or not records.height:
        return None
    return records.filter(pl.col("run_id").is_in([run["run_id"] for run in runs]))


def assumptions(options: ReportOptions, arms: Sequence[Arm]) -> list[str]:
    """Return how the numbers are computed and what they do not cover, a sentence each."""
    margin = (
        f"{options.margin.amount:.3g}"
        if not options.margin.relative
        else f"{options.margin.amount:.3g} of the better mean"
    )
    tested = (
        "in pairs, as the studies give all contenders the same seeds (paired: true)"
        if options.paired
        else "by Welch's t"
    )
    return [
        "Optimizers are compared at the end of a complete schedule, on fresh seeds that tuning has not seen.",
        "Validation chose the hyperparameters; test is reported.",
        f"Intervals of means are Student's t at {options.level:.0%}, inside the values that a metric can take; those "
        "of differences hold for all pairs at once.",
        "Seeds vary at least by the resolution of the metric: the binomial noise of a share on its test set.",
        f"Differences are tested {tested}, with the variance that the selection of the winners adds; p-values are "
        "corrected by Holm over the pairs of a workload.",
        f"A tie is a difference that is shown to be smaller than {margin}, with three seeds or more of each.",
        f"Trained: the mean is shown to beat the trivial answer, one-sided at {1 - options.level:.0%}.",
        "A failed seed counts as worse than any that has a result.",
        *(f"{capital(line)}." for line in uncovered(arms)),
    ]


def detail(run: RunRow) -> RunDetail:
    """Return one run with the command that reproduces it."""
    return RunDetail(
        run_id=run["run_id"],
        study=run["study"],
        workload=run["workload"],
        contender=run["contender"],
        stage=run["stage"],
        trial=run["trial"],
        seed=run["seed"],
        budget=run["budget"],
        status=run["status"],
        reason=run["reason"] or "",
        val=run["val"],
        test=run["test"],
        train_seconds=run["train_seconds"],
        hardware=run["hardware"] or "",
        command=command_of(run),
        config=config_of(run),
        folder=run["folder"],
    )


def command_of(run: RunRow) -> str:
    """Return the command that reproduces a run, from the folder that its paths are relative to."""
    words = ["optbench", "run", *(run["overrides"] or ())]
    words += ["--config-dir", run["config_dir"]] if run["config_dir"] else []
    command = shlex.join(words)
    return f"cd {shlex.quote(run['typed_in'])} && {command}" if run["typed_in"] else command


def failure(run: RunRow) -> Failure:
    """Return one run without a result."""
    return Failure(
        run_id=run["run_id"],
        contender=run["contender"],
        workload=run["workload"],
        stage=run["stage"],
        status=run["status"],
        reason=run["reason"] or "",
        folder=run["folder"],
    )
