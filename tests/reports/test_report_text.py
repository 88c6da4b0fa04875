"""The report on a terminal."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from made_report import NASTY, bare_report, failed_report, made_report

from optbench.cli.streams import FITTING, register_fitting
from optbench.errors import printable
from optbench.reports.model.content import Report
from optbench.reports.render.terminal import fitting, print_report


def printed(report: Report, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(report)
    return capsys.readouterr().out


def test_the_answer_is_the_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = made_report()
    lines = printed(report, capsys).splitlines()
    assert lines[0] == "lion >= adamw: supported."
    assert lines[1:3] == list(report.answer)
    assert any(line.split()[:2] == ["lion", "1"] for line in lines)
    for pair in report.workloads[0].pairs:
        assert any(pair.sentence in line for line in lines)
    assert "! 3 runs have not ended yet." in lines


@pytest.mark.parametrize(
    "report", [made_report(NASTY), bare_report(), failed_report()], ids=["hostile", "bare", "failed"]
)
def test_anything_can_be_printed(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(report, capsys)
    for row in report.workloads[0].rows:
        assert row.contender[:8] in lines


def test_control_characters_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(made_report(("\x1b[31mred", "[bold]x[/bold]")), capsys)
    assert "\x1b" not in out and "[bold]x[/bold]" in out
    assert printable("a\x1b[2Jb\u202ec\r\nd") == "a\ufffd[2Jb\ufffdc  d"


def test_a_sentence_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = " ".join(["word"] * 100)
    assert printed(replace(made_report(), answer=(sentence,)), capsys).splitlines()[1] == sentence


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_that_an_encoding_lacks_are_replaced(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register_fitting()
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=FITTING)
    monkeypatch.setattr(sys, "stdout", out)
    print_report(made_report(("lion", "ライオン")))
    out.flush()
    written = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert "lion" in written and "????" in written and "#" in written


def test_fitting() -> None:
    assert fitting("\u2212é▁█\u2013", "latin-1") == "-é_#-"
    assert fitting("\u2212é▁█", "ascii") == "-?_#"
