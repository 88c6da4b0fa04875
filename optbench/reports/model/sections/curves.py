"""Learning curves of the final runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optbench.records import COLUMNS
from optbench.reports.model.content import Workload
from optbench.reports.model.document import FlatRow, Records, Section, present
from optbench.reports.model.figure import Curves, Figure
from optbench.reports.model.rows import Curve
from optbench.reports.model.table import CONTENDER, HTML, Table, TableColumn, table

FIRST = ("val_metric", "train_loss")
CAPTION = "Final runs at the full budget: the line is the mean over seeds, the band spans the least and the greatest."


def curves(workload: Workload) -> Section:
    """Return a figure for each column of the records, and the ends of the bands."""
    order = [*FIRST, *COLUMNS]
    found = {curve.column for curve in (*workload.bands, *workload.curves)}
    columns = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    figures = [figure(workload, column, "" if n else CAPTION) for n, column in enumerate(columns)]
    records = (
        Records("curves", lambda: points(workload.curves)),
        Records("bands", lambda: points(workload.bands)),
    )
    return Section("curves", "Learning curves", present(*figures, ends(workload.bands)), records)


def figure(workload: Workload, column: str, caption: str) -> Figure:
    """Return the figure of one column."""
    target = workload.target if column == "val_metric" else None
    bands, runs = (tuple(c for c in of if c.column == column) for of in (workload.bands, workload.curves))
    title = column_title(column, workload.metric)
    return Figure(column.replace("_", "-"), title, Curves(column, title, target, bands, runs), caption)


def column_title(column: str, metric: str) -> str:
    """Return a column in words, with its unit."""
    if column == "val_metric":
        return f"validation {metric}"
    words = column.replace("val_", "validation_").replace("train_", "training_").replace("_", " ")
    unit = COLUMNS[column].unit if column in COLUMNS else ""
    return f"{words} ({unit})" if unit not in ("", "1", "task") else words


def ends(bands: Sequence[Curve]) -> Table:
    """Return the ends and the extremes of the bands' means."""
    return table(
        "Means over seeds",
        [band for band in bands if band.step],
        (CONTENDER, lambda band: band.contender),
        (TableColumn("column", "code"), lambda band: band.column),
        (TableColumn("records", "count"), lambda band: len(band.step)),
        (TableColumn("first", "number"), lambda band: band.value[0]),
        (TableColumn("last", "number"), lambda band: band.value[-1]),
        (TableColumn("least", "number"), lambda band: min(finite(band), default=None)),
        (TableColumn("greatest", "number"), lambda band: max(finite(band), default=None)),
        outputs=HTML,
        folded=True,
    )


def finite(band: Curve) -> list[float]:
    """Return the finite values of a curve."""
    return [value for value in band.value if value is not None]


def points(curves: Sequence[Curve]) -> Iterator[FlatRow]:
    """Yield every point of some curves."""
    for curve in curves:
        names = {"contender": curve.contender, "column": curve.column, "run_id": curve.run_id, "seed": curve.seed}
        samples, *ends = (values or (None,) * len(curve.value) for values in (curve.samples, curve.low, curve.high))
        axes = (curve.step, samples, curve.train_seconds, curve.value, *ends)
        for point in zip(*axes, strict=True):
            yield names | dict(zip(("step", "samples", "train_seconds", "value", "low", "high"), point, strict=True))
