"""A report as flat tables: what CSV files hold, at full precision.

An estimate fills four columns: NAME, NAME_low, NAME_high, NAME_n. A table of workloads has the column `workload`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from optbench.reports.model.content import BudgetCurve, Curve, Estimate, Report, Sensitivity, Workload

Table = list[dict[str, Any]]
OF_A_WORKLOAD = {  # table: field of a workload
    "leaderboard": "rows",
    "verdicts": "pairs",
    "to_target": "to_target",
    "ladder": "ladder",
    "stability": "stability",
    "resources": "resources",
    "pareto": "pareto",
}


def tables(report: Report) -> dict[str, Table]:
    """Every table by name; those without a row are left out."""
    found = {name: sections(report.workloads, field) for name, field in OF_A_WORKLOAD.items()}
    found["curves"] = long(report.workloads, lambda w: w.curves, curve_rows)
    found["bands"] = long(report.workloads, lambda w: w.bands, curve_rows)
    found["budget_curves"] = long(report.workloads, lambda w: w.budget_curves, budget_rows)
    found["sensitivity"] = long(report.workloads, lambda w: w.sensitivity, sensitivity_rows)
    found["runs"] = [flat(run, without=("config",)) for run in report.runs]
    found["failures"] = [flat(failure) for failure in report.failures]
    found["skipped"] = [{"path": path, "reason": reason} for path, reason in report.skipped]
    if report.across:
        found["scores"] = [flat(score) for score in report.across.scores]
        found["leave_one_out"] = [
            {"without": row.without, "place": place, "contender": name, "value": value}
            for row in report.across.leave_one_out
            for place, (name, value) in enumerate(zip(row.order, row.values, strict=True), 1)
        ]
        found["profiles"] = [
            {"contender": profile.contender, "tau": tau, "share": share}
            for profile in report.across.profiles
            for tau, share in zip(profile.tau, profile.share, strict=True)
        ]
    return {name: table for name, table in found.items() if table}


def sections(workloads: Sequence[Workload], field: str) -> Table:
    """The rows of one section of all workloads, with the same columns in each."""
    rows = [{"workload": w.name} | flat(row) for w in workloads for row in getattr(w, field)]
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def long(
    workloads: Sequence[Workload], section: Callable[[Workload], Iterable[Any]], rows: Callable[[Any], Iterator[dict]]
) -> Table:
    """A row for each point of a section's series."""
    return [{"workload": w.name} | row for w in workloads for series in section(w) for row in rows(series)]


def curve_rows(curve: Curve) -> Iterator[dict[str, Any]]:
    """A curve's points."""
    names = {"contender": curve.contender, "column": curve.column, "run_id": curve.run_id, "seed": curve.seed}
    ends = curve.low or (None,) * len(curve.value), curve.high or (None,) * len(curve.value)
    axes = (curve.step, curve.samples, curve.train_seconds, curve.value, *ends)
    for step, samples, seconds, value, low, high in zip(*axes, strict=True):
        yield names | {
            "step": step,
            "samples": samples,
            "train_seconds": seconds,
            "value": value,
            "low": low,
            "high": high,
        }


def budget_rows(curve: BudgetCurve) -> Iterator[dict[str, Any]]:
    """A budget curve's points."""
    for n, expected, low, high in zip(curve.trials, curve.expected, curve.low, curve.high, strict=True):
        samples = n * curve.evaluated_samples if curve.evaluated_samples is not None else None
        yield {"contender": curve.contender, "trials": n, "samples": samples} | {
            "expected_best": expected,
            "low": low,
            "high": high,
        }


def sensitivity_rows(of: Sensitivity) -> Iterator[dict[str, Any]]:
    """A row for each trial, with the number in each."""
    for x, y, value in zip(of.x, of.y or (None,) * len(of.x), of.value, strict=True):
        yield {
            "contender": of.contender,
            "key": of.key,
            "x": x,
            "second": of.second,
            "y": y,
            "val_metric": value,
            "chosen": x == of.chosen,
        } | spread("sensitivity", of.number)


def flat(row: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """A dataclass as one row: estimates and mappings get a column for each part, sequences are joined."""
    found: dict[str, Any] = {}
    for field in fields(row):
        if field.name not in without:
            found |= spread(field.name, getattr(row, field.name))
    return found


def spread(name: str, value: Any) -> dict[str, Any]:
    """One value as columns."""
    if isinstance(value, Estimate):
        return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high, f"{name}_n": value.n}
    if isinstance(value, Mapping):
        return {f"{name}.{key}": inner for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return {name: " ".join(":".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in value)}
    if is_dataclass(value):
        return {f"{name}_{key}": inner for key, inner in flat(value).items()}
    return {name: value}
