"""One workload of a report: which runs are compared there, the leaderboard, the verdicts, every other section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optbench.reports.build import curves
from optbench.reports.build.answers import answer, warnings
from optbench.reports.comparable import Found, check, check_tuning
from optbench.reports.contenders import DONE, Contender, contenders_of, headline_of
from optbench.reports.model.content import Workload
from optbench.reports.build.leaderboard import ranked, row
from optbench.reports.build.sections import cost_sections, ladder_of, ladder_section, pictures_of, stability_section, target_section, tuning_sections
from optbench.reports.statistics.verdicts import DEFAULT_MARGIN, Margin, parse_margin, verdicts

if TYPE_CHECKING:
    import polars

Run = Mapping[str, Any]
Cells = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True)
class Asked:
    """How a report is to be made."""

    level: float = 0.95
    margin: Margin = field(default_factory=lambda: parse_margin(DEFAULT_MARGIN))
    mix: frozenset[str] = frozenset()
    command: str = "optbench report"
    reference: str = "adamw"
    """The contender that speed and memory are given against, where it is there; else the first."""
    unequal: bool = False
    """Whether a study was told to tune with unequal budgets."""
    records: bool = True
    """Whether curves and what else needs records is wanted."""


def at_full_budget(runs: Sequence[Run]) -> list[Run]:
    """The runs of a workload at the greatest budget there is."""
    greatest = max(run["budget"] or 1.0 for run in runs)
    return [run for run in runs if (run["budget"] or 1.0) == greatest]


def workload(
    name: str, runs: Sequence[Run], cells: Cells, records: polars.DataFrame | None, asked: Asked, drawn: int
) -> tuple[Workload, tuple[str, ...], tuple[str, ...]]:
    """One workload at its full budget, what was mixed in it, and what was left out. `drawn`: runs in the whole report
    whose curves are drawn."""
    full = at_full_budget(runs)
    fit = check(name, full, asked.mix)
    known = next((run for run in full if run["metric"]), None)
    direction = known["direction"] if known else "max"
    metric = known["metric"] if known else "metric"
    sign = 1.0 if direction == "max" else -1.0
    contenders = contenders_of(full, cells)
    mixed = fit.mixed
    if all(contender.cell.get("stage", DONE) == DONE for contender in contenders):
        mixed += check_tuning(name, {c.name: c.spent for c in contenders}, asked.mix, allowed=asked.unequal)
    headline = headline_of(contenders)
    contenders = ranked(contenders, headline, sign)
    pairs = verdicts([c.arm(headline, sign) for c in contenders], asked.margin, level=asked.level, sign=sign)
    rows = [row(c, headline, pairs, len(contenders) - 1, sign, asked.level) for c in contenders]
    targets = sorted({run["target"] for run in full if run["target"] is not None})
    found = Workload(
        name=name,
        metric=metric,
        direction=direction,
        headline=headline,
        target=targets[-1] if targets else None,
        steps=full[0]["steps"],
        batch_size=full[0]["batch_size"],
        budgets=tuple(sorted({run["budget"] or 1.0 for run in runs})),
        answer=answer(name, metric, rows, pairs, asked.level),
        warnings=warnings(rows, len({r.trials for r in rows}) > 1),
        rows=tuple(rows),
        pairs=tuple(pairs),
        **sections(contenders, runs, cells, records, asked, drawn, fit, direction, headline, targets),
    )
    notes = fit.notes
    for contender in contenders:
        if contender.outdated:
            ran = f"{len(contender.outdated)} final runs of an earlier winner of {contender.name}"
            notes += (f"{name}: {ran} are left out, as another trial has won since",)
    if len(targets) > 1:
        notes += (f"{name}: runs had different targets; all are held against {targets[-1]:.6g}",)
    return found, mixed, notes


def sections(
    contenders: Sequence[Contender],
    runs: Sequence[Run],
    cells: Cells,
    records: polars.DataFrame | None,
    asked: Asked,
    drawn: int,
    fit: Found,
    direction: str,
    headline: str,
    targets: Sequence[float],
) -> dict[str, Any]:
    """Everything of a workload beside leaderboard and verdicts, by the names of its fields."""
    series = curves.found_series(records) if records is not None else {}
    points = curves.points_each(drawn * len(series))
    ladder = ladder_of(runs, cells)
    budget_curves, sensitivities = tuning_sections(contenders, direction, asked.level)
    evaluated = series.get("val_metric", {})
    return {
        "curves": curves.curves(contenders, series, points),
        "bands": curves.bands(contenders, series, max(points, 300)),
        "budget_curves": budget_curves,
        "sensitivity": sensitivities,
        "to_target": target_section(
            contenders,
            ladder,
            evaluated,
            targets[-1] if targets else None,
            direction,
            asked.level,
            times=fit.times,
        ),
        "ladder": ladder_section(contenders, ladder, asked.level),
        "stability": stability_section(contenders, curves.losses_of(series), asked.level),
        "pictures": pictures_of(contenders),
        **cost_sections(contenders, headline, direction, asked.reference, asked.level, times=fit.times),
    }
