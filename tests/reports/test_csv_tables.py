"""The tables of a report as CSV files: flat, at full precision, without formulas."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_report import NASTY, bare_report, failed_report, made_report

from optbench.errors import printable
from optbench.reports.model.chapters import document
from optbench.reports.model.content import Estimate, Report
from optbench.reports.model.flat import spread
from optbench.reports.render.csv import FORMULA, tables, to_csv
from optbench.reports.render.write import TABLES


def read(report: Report, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(tables(document(report))[name]))))


def test_every_table_is_there() -> None:
    assert set(tables(document(made_report()))) == TABLES
    for name in set(tables(document(made_report()))) - {
        "runs",
        "failures",
        "skipped",
        "scores",
        "profiles",
        "leave_one_out",
        "axes",
        "rates",
        "axis_equivalents",
    }:
        assert {row["workload"] for row in read(made_report(), name)} == {"mlp on digits", "gpt on docs"}


def test_numbers_are_whole() -> None:
    report = made_report()
    row = report.workloads[0].rows[1]
    found = read(report, "leaderboard")[1]
    assert found["contender"] == row.contender
    assert [float(found[f"test{end}"]) for end in ("", "_low", "_high", "_n")] == [
        row.test.value,
        row.test.low,
        row.test.high,
        row.test.n,
    ]
    assert tuple(map(float, found["values"].split())) == row.values
    assert float(found["tuned.optimizer.lr"]) == row.tuned["optimizer.lr"]
    curve = report.workloads[0].curves[0]
    points = [r for r in read(report, "curves") if r["run_id"] == curve.run_id and r["column"] == curve.column]
    written = [float(r["value"]) if r["value"] else None for r in points if r["workload"] == "mlp on digits"]
    assert written == list(curve.value)


def test_unknown_values_are_empty_cells() -> None:
    assert to_csv([spread("x", Estimate(None, n=3))]) == "x,x_low,x_high,x_n\n,,,3\n"


@pytest.mark.parametrize(
    "report", [made_report(NASTY), bare_report(), failed_report()], ids=["hostile", "bare", "failed"]
)
def test_tables_of_any_report_are_rectangles(report: Report) -> None:
    for rows in tables(document(report)).values():
        lines = list(csv.reader(io.StringIO(to_csv(rows))))
        assert len(lines) == len(rows) + 1
        assert {len(line) for line in lines} == {len(rows[0])}


@pytest.mark.parametrize("name", ["=1+1", "+1+1", "-1+cmd|'/c calc'!A0", "@SUM(1)", "\t=1", "-", "-e5"])
def test_a_name_is_no_formula(name: str) -> None:
    report = made_report((name, "other"))
    for rows in tables(document(replace(report, title=name))).values():
        for line in csv.reader(io.StringIO(to_csv(rows))):
            assert name not in line
    assert read(report, "leaderboard")[0]["contender"] == f"'{printable(name)}"


def test_negative_numbers_stay_numbers() -> None:
    rows = [{"value": -0.5, "values": "-0.5 -1e-07 2.0", "one": "-3"}]
    assert to_csv(rows) == "value,values,one\n-0.5,-0.5 -1e-07 2.0,-3\n"


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False) | st.none()), min_size=1))
def test_any_cell_comes_back(cells: list[tuple[str, float | None]]) -> None:
    back = list(csv.DictReader(io.StringIO(to_csv([{"a": a, "b": b} for a, b in cells]), newline="")))
    for (words, number), found in zip(cells, back, strict=True):
        words = "\n".join(map(printable, words.splitlines()))
        assert found["a"] in (words, f"'{words}")
        assert not found["a"].startswith(FORMULA) or re.fullmatch("[-0-9.e+ ]+", found["a"])
        assert (float(found["b"]) if found["b"] else None) == number
