"""One workload of a report: which runs are compared, the leaderboard, the verdicts, every other section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from optbench.reports.build import curves
from optbench.reports.build.answers import answer, given_words, warnings
from optbench.reports.build.equivalence import equivalent_budgets
from optbench.reports.build.leaderboard import Entry, entries, ranges, row, trivial_of
from optbench.reports.build.regret import regret_section
from optbench.reports.build.sections import (
    costs_of,
    ladder_of,
    ladder_section,
    pictures_of,
    stability_section,
    target_section,
    tuning_sections,
)
from optbench.reports.comparable import Comparability, check, check_tuning
from optbench.reports.contenders import DONE, HEADLINES, Contender, contenders_of, headline_of, steps_of
from optbench.reports.model.content import Workload
from optbench.reports.outcomes import loss_arms, of_ratios
from optbench.reports.read.columns import RunRow
from optbench.reports.read.study_file import Cells
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.scale import REAL, SHARE, Scale
from optbench.reports.statistics.verdicts import DEFAULT_MARGIN, Margin, parse_margin, verdicts

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class ReportOptions:
    """The options of a report."""

    level: float = 0.95
    margin: Margin = field(default_factory=lambda: parse_margin(DEFAULT_MARGIN))
    mix: frozenset[str] = frozenset()
    command: str = "optbench report"
    reference: str = "adamw"
    """The contender that speed and memory are relative to; the first one if it is not there."""
    allow_unequal: bool = False
    """True if every study allowed unequal tuning budgets."""
    paired: bool = False
    """True if every study gives all contenders the same seeds and says so."""
    planned: Mapping[str, int] = field(default_factory=dict)
    """Final seeds by study."""
    records: bool = True
    """False leaves out curves and everything else that needs records."""


def at_full_budget(runs: Sequence[RunRow]) -> list[RunRow]:
    """Return the runs of a workload at the greatest budget of those that most contenders have."""
    there = {(run["budget"] or 1.0, run["contender"]) for run in runs}
    counts = Counter(budget for budget, _ in there)
    chosen = max(counts, key=lambda budget: (counts[budget], budget))
    return [run for run in runs if (run["budget"] or 1.0) == chosen]


@dataclass(frozen=True)
class Built:
    """A workload of the report with what the report says of it elsewhere."""

    workload: Workload
    arms: tuple[Arm, ...]
    """The contenders for the statistics over all workloads."""
    mixed: tuple[str, ...]
    notes: tuple[str, ...]
    """What was left out."""


def workload(
    name: str,
    runs: Sequence[RunRow],
    cells: Cells,
    records: polars.DataFrame | None,
    options: ReportOptions,
    drawn: int,
) -> Built:
    """Return one workload at its full budget. `drawn`: number of runs in the whole report whose curves are drawn."""
    full = at_full_budget(runs)
    fit = check(name, full, options.mix)
    contenders = contenders_of(full, cells)
    mixed = fit.mixed
    if all(contender.cell.get("stage", DONE) == DONE for contender in contenders):
        mixed += check_tuning(name, {c.name: c.spent for c in contenders}, options.mix, allowed=options.allow_unequal)
    base, found = compared(name, full, contenders, options)
    rows = base.rows
    targets = sorted({run["target"] for run in full if run["target"] is not None})
    base = replace(
        base,
        target=targets[-1] if targets else None,
        budgets=tuple(sorted({run["budget"] or 1.0 for run in runs})),
        warnings=warnings(rows, len({row.trials for row in rows if not row.waiting}) > 1),
    )
    base = replace(base, answer=answer(base, options.level))
    whole = with_sections(base, [entry.contender for entry in found], runs, cells, records, options, drawn, fit)
    alone = [f"{name}: {given_words(row)}" for row in rows if row.given]
    notes = (*fit.notes, *alone, *left_out(name, contenders))
    if len(targets) > 1:
        notes += (f"{name}: runs had different targets; all are held against {targets[-1]:.6g}",)
    return Built(whole, tuple(entry.arm for entry in found), mixed, notes)


def compared(
    name: str, runs: Sequence[RunRow], contenders: Sequence[Contender], options: ReportOptions
) -> tuple[Workload, list[Entry]]:
    """Return leaderboard and verdicts of the runs at the full budget, and the contenders, best first."""
    known = next((run for run in runs if run["metric"]), None)
    direction = (known["direction"] if known else None) or "max"
    sign = 1.0 if direction == "max" else -1.0
    headline = headline_of(contenders)
    found = entries(contenders, runs, headline, sign, options.level, options.planned)
    arms, scale = [entry.arm for entry in found], scale_of_all(contenders, HEADLINES[headline])
    judge = partial(
        verdicts,
        level=options.level,
        paired=options.paired,
        undertuned=[entry.name for entry in found if entry.contender.cell.get("edges")],
        untrained=[entry.name for entry in found if entry.trained is False],
    )
    pairs = judge(arms, options.margin, sign=sign, scale=scale)
    by_loss = headline == "test_metric" and scale.kind == SHARE
    losses = loss_arms([entry.contender for entry in found], sign) if by_loss else []
    spans = ranges(found, pairs)
    unread = {key for run in runs for key in run["unread"] or ()}
    base = Workload(
        name=name,
        metric=(known["metric"] if known else None) or "metric",
        direction=direction,
        headline=headline,
        target=None,
        steps=common([steps_of(run) for run in runs]) if "steps" in unread else runs[0]["steps"],
        batch_size=None if "batch_size" in unread else runs[0]["batch_size"],
        budgets=(),
        answer=(),
        warnings=(),
        rows=tuple(row(entry, headline, spans[entry.name], sign, options.level) for entry in found),
        trivial=trivial_of(contenders, headline),
        scale=next((run["metric_scale"] for run in runs if run["metric_scale"]), None) or "real",
        pairs=tuple(pairs),
        loss_pairs=tuple(judge(losses, of_ratios(options.margin))),
    )
    return base, found


def common(values: Sequence[int | None]) -> int | None:
    """Return the value that all have; None if they differ."""
    return values[0] if len(set(values)) == 1 else None


def scale_of_all(contenders: Sequence[Contender], column: str) -> Scale:
    """Return the values that a column can take, and the least number of samples behind one of any contender."""
    scales = [contender.scale(column) for contender in contenders]
    kind = next((scale.kind for scale in scales if scale.kind != REAL), REAL)
    return Scale(kind, min((scale.samples for scale in scales if scale.samples), default=None))


def left_out(name: str, contenders: Sequence[Contender]) -> list[str]:
    """Return whose final runs are of an earlier winner."""
    return [
        f"{name}: {len(contender.outdated)} final runs of {contender.name} are left out: another trial has a better "
        "score now"
        for contender in contenders
        if contender.outdated
    ]


def with_sections(
    base: Workload,
    contenders: Sequence[Contender],
    runs: Sequence[RunRow],
    cells: Cells,
    records: polars.DataFrame | None,
    options: ReportOptions,
    drawn: int,
    fit: Comparability,
) -> Workload:
    """Return the workload with every section beside leaderboard and verdicts."""
    level, direction = options.level, base.direction
    series = curves.found_series(records) if records is not None else {}
    ladder = ladder_of(runs, cells)
    budget_curves, sensitivities = tuning_sections(contenders, direction, base.headline, level, times=fit.times)
    evaluated = series.get("val_metric", {})
    equivalents, why_not = equivalent_budgets(base, ladder, options.reference, level)
    costs = costs_of(contenders, base.headline, direction, options.reference, level, times=fit.times)
    return replace(
        base,
        curves=curves.curves(contenders, series, drawn),
        bands=curves.bands(contenders, series, drawn),
        budget_curves=budget_curves,
        sensitivity=sensitivities,
        to_target=target_section(contenders, ladder, evaluated, base.target, direction, level, times=fit.times),
        ladder=ladder_section(contenders, ladder, level),
        regret=regret_section(contenders, base, level),
        equivalent=equivalents,
        not_equivalent=why_not,
        stability=stability_section(contenders, curves.losses_of(series), level),
        pictures=pictures_of(contenders),
        resources=costs.resources,
        reference=costs.reference,
        pareto=costs.pareto,
    )
