"""One workload of a report: which runs are compared, the leaderboard, the verdicts, every other section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from optbench.reports.build import curves
from optbench.reports.build.answers import answer, warnings
from optbench.reports.build.leaderboard import ranked, row
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
from optbench.reports.contenders import DONE, Contender, contenders_of, headline_of
from optbench.reports.model.content import Workload
from optbench.reports.read.columns import RunRow
from optbench.reports.read.study_file import Cells
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
    records: bool = True
    """False leaves out curves and everything else that needs records."""


def at_full_budget(runs: Sequence[RunRow]) -> list[RunRow]:
    """Return the runs of a workload at the greatest budget."""
    greatest = max(run["budget"] or 1.0 for run in runs)
    return [run for run in runs if (run["budget"] or 1.0) == greatest]


def workload(
    name: str,
    runs: Sequence[RunRow],
    cells: Cells,
    records: polars.DataFrame | None,
    options: ReportOptions,
    drawn: int,
) -> tuple[Workload, tuple[str, ...], tuple[str, ...]]:
    """Return one workload at its full budget, what was mixed in it, and what was left out.

    `drawn`: number of runs in the whole report whose curves are drawn."""
    full = at_full_budget(runs)
    fit = check(name, full, options.mix)
    known = next((run for run in full if run["metric"]), None)
    direction = (known["direction"] if known else None) or "max"
    metric = (known["metric"] if known else None) or "metric"
    sign = 1.0 if direction == "max" else -1.0
    contenders = contenders_of(full, cells)
    mixed = fit.mixed
    if all(contender.cell.get("stage", DONE) == DONE for contender in contenders):
        mixed += check_tuning(name, {c.name: c.spent for c in contenders}, options.mix, allowed=options.allow_unequal)
    headline = headline_of(contenders)
    contenders = ranked(contenders, headline, sign)
    pairs = verdicts([c.arm(headline, sign) for c in contenders], options.margin, level=options.level, sign=sign)
    rows = [row(c, headline, pairs, len(contenders) - 1, sign, options.level) for c in contenders]
    targets = sorted({run["target"] for run in full if run["target"] is not None})
    base = Workload(
        name=name,
        metric=metric,
        direction=direction,
        headline=headline,
        target=targets[-1] if targets else None,
        steps=full[0]["steps"],
        batch_size=full[0]["batch_size"],
        budgets=tuple(sorted({run["budget"] or 1.0 for run in runs})),
        answer=answer(name, metric, rows, pairs, options.level),
        warnings=warnings(rows, len({r.trials for r in rows}) > 1),
        rows=tuple(rows),
        pairs=tuple(pairs),
    )
    found = with_sections(base, contenders, runs, cells, records, options, drawn, fit)
    notes = fit.notes
    for contender in contenders:
        if contender.outdated:
            left_out = f"{len(contender.outdated)} final runs of {contender.name} are left out"
            notes += (f"{name}: {left_out}: another trial has a better score now",)
    if len(targets) > 1:
        notes += (f"{name}: runs had different targets; all are held against {targets[-1]:.6g}",)
    return found, mixed, notes


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
    points = curves.points_each(drawn * len(series))
    ladder = ladder_of(runs, cells)
    budget_curves, sensitivities = tuning_sections(contenders, direction, level)
    evaluated = series.get("val_metric", {})
    costs = costs_of(contenders, base.headline, direction, options.reference, level, times=fit.times)
    return replace(
        base,
        curves=curves.curves(contenders, series, points),
        bands=curves.bands(contenders, series, max(points, 300)),
        budget_curves=budget_curves,
        sensitivity=sensitivities,
        to_target=target_section(contenders, ladder, evaluated, base.target, direction, level, times=fit.times),
        ladder=ladder_section(contenders, ladder, level),
        stability=stability_section(contenders, curves.losses_of(series), level),
        pictures=pictures_of(contenders),
        resources=costs.resources,
        reference=costs.reference,
        pareto=costs.pareto,
    )
