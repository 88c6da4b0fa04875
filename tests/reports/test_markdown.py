"""The report in Markdown: the answer first, every section, nothing that a name could act by."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from made_report import NASTY, bare_report, failed_report, made_report

from optbench.reports.render.markdown import doublings, slug, starts, table, text, to_markdown


def test_the_answer_comes_first_and_every_section_follows() -> None:
    report = made_report()
    lines = to_markdown(report, {"mlp-on-digits-ladder": "figures/mlp-on-digits-ladder.png"}).split("\n")
    assert lines[0] == "# lion-vit"
    assert lines[2] == "- **mlp on digits: use lion. Its test accuracy of 0.960 is better than all others' (95 %).**"
    headings = [line for line in lines if line.startswith("#")]
    for title in ("Leaderboard", "Verdicts", "Time to target", "Ladder of budgets", "Expected best after n trials"):
        assert headings.count(f"### {title}") == 2
    for title in ("Sensitivity to the learning rate", "Memory and time", "Trade-offs", "Stability"):
        assert headings.count(f"### {title}") == 2
    for title in ("Across workloads", "Failures", "What was assumed", "Left out"):
        assert headings.count(f"## {title}") == 1
    assert lines.count("![mlp on digits: ladder](figures/mlp-on-digits-ladder.png)") == 1


def test_tables_are_whole() -> None:
    for report in (made_report(), made_report(NASTY), bare_report(), failed_report()):
        lines = to_markdown(report, {}).split("\n")
        for before, line in itertools.pairwise(lines):
            if before.startswith("|") and line.startswith("|"):
                counts = [len(re.findall(r"(?<!\\)\|", row)) for row in (before, line)]
                assert counts[0] == counts[1], (before, line)


@pytest.mark.parametrize("name", [*NASTY, "a\nb", "![x](y)", "&lt;b&gt;", "`x", "~~x~~", "# a", "- a", "1. a"])
def test_a_name_is_text(name: str) -> None:
    written = to_markdown(replace(made_report((name, "other")), title=name), {})
    bare = re.sub(r"\\[\\`*_\[\]<>|~$]", "", written)  # what is escaped is text
    assert text(name) in written
    assert not re.search(r"[<>`~]|\]\(", bare.replace("&lt; 0.001", ""))
    marks = [line for line in written.splitlines()[1:] if re.match(r"(#+|-|\d+\.) a\b", line)]
    assert not marks


def test_words_in_a_line() -> None:
    assert text("a|b <c> `d`\n\te\x00f") == r"a\|b \<c\> \`d\` e f"
    assert text("AT&amp;T_*x*") == r"AT&amp;amp;T\_\*x\*"


def test_each_figure_stands_in_its_own_section() -> None:
    report = made_report()
    names = ("a", "a b", "a-b", "across")
    made = replace(report, workloads=tuple(replace(report.workloads[0], name=name) for name in names))
    assert starts(made.workloads) == ["a", "a-b", "a-b-x", "across-x"]
    kinds = [f"{start}-{kind}" for start in starts(made.workloads) for kind in ("ladder", "val-metric")]
    drawn = {name: f"figures/{name}.png" for name in (*kinds, "across-profiles", "gone-ladder")}
    parts = re.split(r"^## ", to_markdown(made, drawn), flags=re.M)
    found = {part.split("\n")[0]: re.findall(r"\(figures/(.+)\.png\)", part) for part in parts}
    assert found["a"] == ["a-ladder", "a-val-metric"]
    assert found["a b"] == ["a-b-ladder", "a-b-val-metric"]
    assert found["a-b"] == ["a-b-x-ladder", "a-b-x-val-metric"]
    assert found["across"] == ["across-x-ladder", "across-x-val-metric"]
    assert found["Across workloads"] == ["across-profiles"]
    assert sum(map(len, found.values())) == 9


def test_small_parts() -> None:
    assert doublings(0) == [] and doublings(1) == [1] and doublings(6) == [1, 2, 4, 6] and doublings(8) == [1, 2, 4, 8]
    assert slug("mlp-digits batch_size=128") == "mlp-digits-batch-size-128"
    assert slug("../..") == "workload"
    assert table(("a", "b"), [("1", "")]) == "| a | b |\n| --- | --- |\n| 1 |   |"
