"""Figures as plain data for page.js, which draws them with plotly in the colours of the page.

A figure: {"kind": lines, bars, points or curves, "series": [...], "x": {"title", "type"}, "y": ...}. A series has
`who`, a place in the palette, `x`, `y` and, where known, `low` and `high`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from optbench.records import COLUMNS
from optbench.reports.model.content import Across, Curve, Estimate, Sensitivity, Workload
from optbench.reports.render.html.packing import BAND_POINTS, POINTS, curve_data, share_of_points, thinned
from optbench.reports.render.html.palette import Palette
from optbench.reports.render.html.tags import label

Figure = dict[str, Any]


def axis(title: str, kind: str = "linear", **more: Any) -> dict[str, Any]:
    """An axis of a figure."""
    return {"title": label(title, 60), "type": kind, **more}


def headline_name(workload: Workload) -> str:
    """The headline in words: test accuracy."""
    split = {"test": "test", "val": "validation"}.get(workload.headline.split("_")[0], workload.headline)
    return f"{split} {workload.metric}"


def in_order(columns: Iterable[str]) -> list[str]:
    """Columns as the column dictionary has them, the metric on validation first."""
    known = ["val_metric", "train_loss", *COLUMNS]
    return sorted(set(columns), key=lambda name: (known.index(name) if name in known else len(known), name))


def curves(workload: Workload, names: Palette, points: tuple[int, int]) -> Figure | None:
    """Bands over seeds and the single runs, by column; page.js chooses what is drawn."""
    if not workload.bands and not workload.curves:
        return None
    columns = {}
    for column in in_order(c.column for c in (*workload.bands, *workload.curves)):
        bands = [curve_data(thinned(c, points[0]), names) for c in sorted_curves(workload.bands, column, names)]
        single = [curve_data(thinned(c, points[1]), names) for c in sorted_curves(workload.curves, column, names)]
        columns[column] = {"bands": bands, "runs": single, "title": column_title(column, workload)}
    target = {"val_metric": workload.target} if workload.target is not None else {}
    return {"kind": "curves", "columns": columns, "targets": target}


def sorted_curves(of: Sequence[Curve], column: str, names: Palette) -> list[Curve]:
    """Those of one column, by contender."""
    return sorted((c for c in of if c.column == column), key=lambda c: (names.place(c.contender), c.seed or 0))


def column_title(column: str, workload: Workload) -> str:
    """A column for an axis: the metric by its name, others by their own with the unit."""
    if column == "val_metric":
        return label(f"validation {workload.metric}")
    unit = COLUMNS[column].unit if column in COLUMNS else ""
    return label(f"{column} ({unit})" if unit not in ("", "1", "task") else column)


def budget_curves(workload: Workload, names: Palette) -> Figure | None:
    """Expected best validation metric against trials."""
    series = [
        {"who": names.place(c.contender), "x": c.trials, "y": c.expected, "low": c.low, "high": c.high, "marks": True}
        for c in by_name(workload.budget_curves, names)
    ]
    most = max((n for c in workload.budget_curves for n in c.trials), default=1)
    x, y = axis("tuning trials", every=math.ceil(most / 10)), axis(f"expected best validation {workload.metric}")
    return {"kind": "lines", "series": series, "x": x, "y": y} if series else None


def sensitivity(workload: Workload, names: Palette, key: str) -> Figure:
    """The metric by one hyperparameter; a trial that failed is a cross at the bad edge, the chosen one has a ring."""
    of = [s for s in by_name(workload.sensitivity, names) if s.key == key]
    edge = bad_edge([value for s in of for value in s.value], workload.direction)
    series: list[Figure] = []
    for one in of:
        order = sorted(range(len(one.x)), key=one.x.__getitem__)
        fine = [i for i in order if one.value[i] is not None]
        failed = [i for i in order if one.value[i] is None]
        who = names.place(one.contender)
        series.append({"who": who, "x": [one.x[i] for i in fine], "y": [one.value[i] for i in fine], "marks": True})
        if failed:
            series.append(
                {"who": who, "x": [one.x[i] for i in failed], "y": [edge] * len(failed), "only": "x", "note": "failed"}
            )
        ring = [i for i in fine if one.chosen is not None and math.isclose(one.x[i], one.chosen, rel_tol=1e-9)]
        if ring:
            chosen = {"x": [one.x[i] for i in ring], "y": [one.value[i] for i in ring]}
            series.append({"who": who, **chosen, "only": "circle-open", "size": 15, "note": "chosen"})
    return {"kind": "lines", "series": series, "x": axis(key, "log"), "y": axis(f"validation {workload.metric}")}


def points(workload: Workload, of: Sensitivity, ends: tuple[float, float]) -> Figure:
    """The metric over two hyperparameters, a dot for each trial; `ends`: the worst and the best colour's value."""
    where = range(len(of.x))
    kept = {
        "fine": [i for i in where if of.value[i] is not None],
        "failed": [i for i in where if of.value[i] is None],
        "chosen": [i for i in where if of.chosen is not None and math.isclose(of.x[i], of.chosen, rel_tol=1e-9)],
    }
    marks = {name: {"x": [of.x[i] for i in found], "y": [of.y[i] for i in found]} for name, found in kept.items()}
    value = [of.value[i] for i in kept["fine"]]
    title = f"validation {workload.metric}"
    return {"kind": "points", **marks, "value": value, "worst": ends[0], "best": ends[1], "title": title} | {
        "across": axis(of.key, "log"),
        "up": axis(of.second, "log"),
    }


def bad_edge(values: Sequence[float | None], direction: str) -> float:
    """Just beyond the worst value that was reached."""
    finite = [value for value in values if value is not None]
    if not finite:
        return 0.0
    reach = (max(finite) - min(finite)) or abs(finite[0]) or 1.0
    return min(finite) - 0.06 * reach if direction == "max" else max(finite) + 0.06 * reach


def ladder(workload: Workload, names: Palette) -> Figure | None:
    """The headline against the budget."""
    series = []
    for name in names.names:
        steps = sorted((s for s in workload.ladder if s.contender == name), key=lambda s: s.budget)
        found = [(s.steps, headline(s, workload)) for s in steps]
        if found:
            of = [e for _, e in found]
            ends = {"low": [e.low for e in of], "high": [e.high for e in of], "bars": True}
            series.append(
                {
                    "who": names.place(name),
                    "x": [n for n, _ in found],
                    "y": [e.value for e in of],
                    "marks": True,
                    **ends,
                }
            )
    x = axis("steps of the complete schedule", "log", values=sorted({s.steps for s in workload.ladder}))
    many = len({s.steps for s in workload.ladder}) > 1
    return {"kind": "lines", "series": series, "x": x, "y": axis(headline_name(workload))} if many else None


def headline(of: Any, workload: Workload) -> Estimate:
    """Test or validation, whichever the workload's leaderboard goes by."""
    return of.val if workload.headline.startswith("val") else of.test


def seconds(workload: Workload, names: Palette) -> Figure | None:
    """Stacked bars: where the time of a run goes."""
    of = [r for r in by_name(workload.resources, names) if r.seconds]
    phases = list(dict.fromkeys(phase for r in of for phase in r.seconds))
    if not of:
        return None
    series = [
        {"phase": k, "name": label(phase), "x": [r.seconds.get(phase, 0.0) for r in of]}
        for k, phase in enumerate(phases)
    ]
    y = {"labels": [label(r.contender, 18) for r in of]}
    return {"kind": "bars", "series": series, "x": axis("mean seconds of a run"), "y": y}


def pareto(workload: Workload, names: Palette) -> Figure | None:
    """Quality against time; the area of a point grows with the optimizer's memory, the front is filled."""
    of = [p for p in by_name(workload.pareto, names) if p.quality is not None and p.train_seconds is not None]
    most = max((p.state_bytes or 0 for p in of), default=0)
    series = [
        {
            "who": names.place(p.contender),
            "x": [p.train_seconds],
            "y": [p.quality],
            "only": "circle" if p.front else "circle-open",
            "named": True,
            "size": 10 + 18 * math.sqrt((p.state_bytes or 0) / most) if most else 12,
        }
        for p in of
    ]
    x = axis("training seconds")
    return {"kind": "lines", "series": series, "x": x, "y": axis(headline_name(workload))} if len(of) > 1 else None


def profiles(across: Across, names: Palette) -> Figure | None:
    """Performance profiles: steps."""
    series = [
        {"who": names.place(p.contender), "x": p.tau, "y": p.share, "shape": "hv"}
        for p in by_name(across.profiles, names)
    ]
    y = axis("share of workloads", range=[-0.03, 1.03])
    return {"kind": "lines", "series": series, "x": axis("time over the fastest's (tau)"), "y": y} if series else None


def by_name(of: Iterable[Any], names: Palette) -> list[Any]:
    """In the order of the palette."""
    return sorted(of, key=lambda one: names.place(one.contender))


def points_for(workloads: Sequence[Workload]) -> tuple[int, int]:
    """How many points each band and each single run may have in this report."""
    bands = [curve for workload in workloads for curve in workload.bands]
    single = [curve for workload in workloads for curve in workload.curves]
    return share_of_points(bands, BAND_POINTS), share_of_points(single, POINTS)
