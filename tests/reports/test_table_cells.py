"""The cells of tables as text."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from made_report import made_report, made_row

from optbench.reports.model.cells import cell_text, spark
from optbench.reports.model.content import Estimate
from optbench.reports.model.numbers import MISSING, bytes_text, estimate_text, fixed, p_text, short
from optbench.reports.model.sections.leaderboard import letter_groups, tuned_values
from optbench.reports.model.table import Cell, Flagged, Kind, Table, TableColumn


@pytest.mark.parametrize(
    ("kind", "cell", "text"),
    [
        ("text", None, ""),
        ("number", None, MISSING),
        ("count", 1234, "1,234"),
        ("value", 1024, "1024"),
        ("value", Flagged(0.1, "high edge"), "0.1 (high edge)"),
        ("value", True, "True"),
        ("ranks", (1, 1), "1"),
        ("ranks", (1, 3), "1\u20133"),
        ("bytes", 2048, "2 KiB"),
        ("p", 0.0001, "< 0.001"),
    ],
)
def test_a_cell_is_written_by_its_columns_kind(kind: Kind, cell: Cell, text: str) -> None:
    assert cell_text(cell, TableColumn("x", kind)) == text


def test_columns_without_a_known_cell_are_left_out() -> None:
    columns = (TableColumn("a"), TableColumn("b", "estimate"), TableColumn("c", outputs=("html",)))
    shown = Table("t", columns, (("x", Estimate(None, n=3), "y"),)).shown_in("markdown")
    assert shown and [column.title for column in shown.columns] == ["a"]
    assert Table("t", columns, ()).shown_in("html") is None


def test_contenders_share_a_letter_unless_one_is_better() -> None:
    workload = made_report().workloads[0]
    # lion is better than all; adamw ties with sgd, sgd is undecided with muon, adamw is better than muon
    assert letter_groups(workload.rows, workload.pairs) == {"lion": "a", "adamw": "b", "sgd": "bc", "muon": "c"}
    alike = tuple(replace(pair, verdict="tie") for pair in workload.pairs)
    assert set(letter_groups(workload.rows, alike).values()) == {"a"}
    apart = tuple(replace(pair, verdict="better") for pair in workload.pairs)
    assert list(letter_groups(workload.rows, apart).values()) == ["a", "b", "c", "d"]
    assert letter_groups(workload.rows, ()) == {}


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.96123, 0.95, 0.97, "0.961 [0.950, 0.970]"),  # half the width is 0.01: two digits of it
        (0.9612345, 0.9611, 0.9613, "0.96123 [0.96110, 0.96130]"),
        (1234.5, 1200, 1300, "1,234 [1,200, 1,300]"),
        (123456.0, 100000, 140000, "123,000 [100,000, 140,000]"),
        (1.34e9, 1.2e9, 1.5e9, "1.34e9 [1.20e9, 1.50e9]"),
        (-0.5, -0.7, 0.3, "\u22120.50 [\u22120.70, 0.30]"),
        (0.5, None, None, "0.5"),
        (0.5, 0.5, 0.5, "0.5 [0.5, 0.5]"),
        (None, 0.1, 0.2, MISSING),
        (None, None, None, MISSING),
    ],
)
def test_digits_follow_the_interval(value: float, low: float, high: float, shown: str) -> None:
    assert estimate_text(Estimate(value, low, high, 5)) == shown


def test_numbers_without_an_interval() -> None:
    assert [short(x) for x in (0.0, 1.0, 0.12345, 1234.5, 0.00001, 2.5e8, -3.0, None, math.nan)] == [
        *("0", "1", "0.1235", "1,234", "1e-5", "2.5e8", "\u22123", MISSING, MISSING)
    ]
    assert fixed(-0.0001, 2) == "0.00"
    assert [bytes_text(n) for n in (0, 1023, 1024, 5 * 2**20, None)] == [*("0 B", "1,023 B", "1 KiB", "5 MiB", MISSING)]
    assert [p_text(p) for p in (0.0004, 0.042, 0.5, None)] == ["< 0.001", "0.042", "0.5", MISSING]


def test_sparks() -> None:
    assert spark([0.0, 1.0]) == "▁" * 8 + "█" * 8
    assert spark([1.0, 1.0, 1.0]) == "▁" * 16
    assert spark([None, None]) == "" and spark([1.0]) == ""
    assert spark([0.0, None, 1.0]).strip().startswith("▁") and " " in spark([0.0, None, 1.0])


def test_tuned_values_say_which_element_of_a_list() -> None:
    tuned = {"optimizer.lr": 0.01, "optimizer.betas.1": 0.94, "batch_size": 8}
    row = replace(made_row(0, "adam", 0.5, 3), tuned=tuned)
    assert tuned_values(row) == "lr=0.01, betas.1=0.94, batch_size=8"
