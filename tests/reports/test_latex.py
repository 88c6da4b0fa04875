"""Tables of a report as LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Call
from made_report import made_report
from made_runs import write_study

from optbench.reports.model.chapters import document
from optbench.reports.model.rows import Estimate
from optbench.reports.model.table import CONTENDER, Table, TableColumn
from optbench.reports.render.latex import latex, latex_tables


def test_a_table_by_hand() -> None:
    columns = (CONTENDER, TableColumn("loss", "estimate", group="test"), TableColumn("state", "cost"))
    rows = (("my_opt & {co}", Estimate(0.5, 0.4, 0.6, 3), "0.5\u00d7"), ("adamw", Estimate(None), ""))
    assert latex(Table("Loss of 50 %", columns, rows, note="A note.\nTwo lines")).split("\n") == [
        "% Loss of 50 %",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"contender & test: loss & state \\",
        r"\midrule",
        r"my\_opt \& \{co\} & 0.50 [0.40, 0.60] & 0.5$\times$ \\",
        r"adamw & -- &  \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% A note. Two lines",
        "",
    ]


def test_a_cell_cannot_be_read_as_a_command_or_a_length() -> None:
    table = Table("t", (CONTENDER,), (("[1ex]",), (r"\input{x}",), ("a\\\\b",), ("~^|<",)))
    rows = latex(table).split("\n")[5:9]
    assert rows[0] == r"{}[1ex] \\" and rows[1] == r"\textbackslash{}input\{x\} \\"
    assert r"\\b" not in rows[2] and rows[3] == r"\textasciitilde{}\textasciicircum{}$|$$<$ \\"


def test_every_table_of_a_report_is_whole() -> None:
    found = latex_tables(document(made_report()))
    assert {"overview", "mlp-on-digits-leaderboard"} <= found.keys() and len(found) > 20
    for name, text in found.items():
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
        rows = [line for line in text.split("\n") if line.endswith(r"\\")]
        assert columns is not None and rows, name
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns[1])}, name
        assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}


def test_they_are_written_where_they_are_asked_for(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = write_study(tmp_path / "results", {"good": [0.90, 0.91, 0.89], "bad": [0.50, 0.51, 0.49]})
    assert call("report", study, "--only", "pdf,tex")[0] == 0
    endings = {file.suffix for file in (tmp_path / "report").rglob("*.*") if not file.name.startswith(".")}
    assert endings == {".pdf", ".tex"}
    pictures = {file.name: file.read_bytes() for file in (tmp_path / "report" / "figures").glob("*.pdf")}
    assert pictures and all(
        content.startswith(b"%PDF") and b"CreationDate" not in content for content in pictures.values()
    )
    assert call("report", study)[0] == 0
    figures = {file.stem for file in (tmp_path / "report" / "figures").glob("*.png")}
    assert figures == {Path(name).stem for name in pictures}, "those of papers stay, and the others are drawn"
