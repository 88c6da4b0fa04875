"""The report in Markdown: the answer first, every section, every name escaped."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from made_report import NASTY, bare_report, failed_report, made_report

from optbench.reports.model.chapters import document, figure_starts, slug
from optbench.reports.model.content import Report
from optbench.reports.model.sections.tuning import doublings
from optbench.reports.model.table import Table, TableColumn
from optbench.reports.render.markdown import MOST_ROWS, table, text, to_markdown


def written(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    return to_markdown(document(report), pictures or {})


def test_the_answer_comes_first_and_every_section_follows() -> None:
    report = made_report()
    lines = written(report, {"mlp-on-digits-ladder": "figures/mlp-on-digits-ladder.png"}).split("\n")
    assert lines[0] == "# lion-vit"
    assert lines[2] == "lion \\>= adamw: supported."
    assert lines[4] == "- **mlp on digits: use lion. Its test accuracy of 0.960 is better than all others' (95 %).**"
    headings = [line for line in lines if line.startswith("#")]
    for title in ("Leaderboard", "Pairwise verdicts", "Time to target", "Budget ladder", "Tuning budget"):
        assert headings.count(f"### {title}") == 2
    for title in ("Learning-rate sensitivity", "Memory and time", "Trade-offs", "Stability"):
        assert headings.count(f"### {title}") == 2
    for title in ("Claim", "Across workloads", "Failures", "Assumptions", "Mixed on request", "Skipped"):
        assert headings.count(f"## {title}") == 1
    assert lines.count("![mlp on digits: Budget ladder](figures/mlp-on-digits-ladder.png)") == 1


def test_tables_are_whole() -> None:
    for report in (made_report(), made_report(NASTY), bare_report(), failed_report()):
        lines = written(report).split("\n")
        for before, line in itertools.pairwise(lines):
            if before.startswith("|") and line.startswith("|"):
                counts = [len(re.findall(r"(?<!\\)\|", row)) for row in (before, line)]
                assert counts[0] == counts[1], (before, line)


@pytest.mark.parametrize("name", [*NASTY, "a\nb", "![x](y)", "&lt;b&gt;", "`x", "~~x~~", "# a", "- a", "1. a"])
def test_a_name_is_text(name: str) -> None:
    found = written(replace(made_report((name, "other")), title=name))
    bare = re.sub(r"\\[\\`*_\[\]<>|~$]", "", found)  # what is escaped is text
    assert text(name) in found
    assert not re.search(r"[<>`~]|\]\(", bare)
    marks = [line for line in found.splitlines()[1:] if re.match(r"(#+|-|\d+\.) a\b", line)]
    assert not marks


def test_special_characters_are_escaped() -> None:
    assert text("a|b <c> `d`\n\te\x00f") == r"a\|b \<c\> \`d\` e f"
    assert text("AT&amp;T_*x*") == r"AT&amp;amp;T\_\*x\*"


def test_each_figure_is_in_its_workload() -> None:
    report = made_report()
    names = ("a", "a b", "a-b", "across")
    made = replace(report, workloads=tuple(replace(report.workloads[0], name=name) for name in names))
    assert figure_starts(made.workloads) == ["a", "a-b", "a-b-x", "across-x"]
    kinds = [f"{start}-{kind}" for start in figure_starts(made.workloads) for kind in ("ladder", "val-metric")]
    drawn = {name: f"figures/{name}.png" for name in (*kinds, "across-profiles", "gone-ladder")}
    parts = re.split(r"^## ", written(made, drawn), flags=re.M)
    found = {part.split("\n")[0]: re.findall(r"\(figures/(.+)\.png\)", part) for part in parts}
    assert found["a"] == ["a-val-metric", "a-ladder"]
    assert found["a b"] == ["a-b-val-metric", "a-b-ladder"]
    assert found["a-b"] == ["a-b-x-val-metric", "a-b-x-ladder"]
    assert found["across"] == ["across-x-val-metric", "across-x-ladder"]
    assert found["Across workloads"] == ["across-profiles"]
    assert sum(map(len, found.values())) == 9


def test_small_parts() -> None:
    assert doublings(0) == [] and doublings(1) == [1] and doublings(6) == [1, 2, 4, 6] and doublings(8) == [1, 2, 4, 8]
    assert slug("mlp-digits batch_size=128") == "mlp-digits-batch-size-128"
    assert slug("../..") == "workload"
    rows = (("1", None), *[("2", 3)] * MOST_ROWS)
    title, whole, more, note = table(Table("T", (TableColumn("a"), TableColumn("b", "count")), rows, "n"))
    assert whole.startswith("| a | b |\n| --- | ---: |\n| 1 | \u2013 |\n| 2 | 3 |\n")
    assert (title, more, note) == ("**T**", "and 1 more", "n")
