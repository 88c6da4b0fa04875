"""Pictures of a report: for anything a report may hold, the same bytes each time, anew only where data changed."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from made_report import NASTY, bare_report, failed_report, made_report
from PIL import Image

from optbench.report.content import Report
from optbench.report.figures import HASHES, wanted, write_figures

KINDS = {"leaderboard", "val-metric", "train-loss", "tuning-budget", "sensitivity", "ladder", "time", "memory"}


def names_of(report: Report) -> set[str]:
    return {name for name, _, _ in wanted(report)}


def test_every_kind_is_drawn_for_every_workload(tmp_path: Path) -> None:
    report = made_report()
    files = write_figures(report, tmp_path)
    names = {file.stem for file in files}
    for start in ("mlp-on-digits", "gpt-on-docs"):
        assert {f"{start}-{kind}" for kind in (*KINDS, "trade-offs")} <= names
    assert "across-profiles" in names
    assert {file.name for file in files} | {HASHES} == {file.name for file in tmp_path.iterdir()}
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                assert picture.width > 800 and len(picture.convert("RGB").getcolors(1 << 24)) > 3
        else:
            assert file.read_text().rstrip().endswith("</svg>")


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    report = replace(made_report(), workloads=made_report().workloads[:1])
    for name in ("a", "b"):
        write_figures(report, tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_only_what_changed_is_drawn_again(tmp_path: Path) -> None:
    report = made_report()
    first = report.workloads[0]
    files = write_figures(report, tmp_path)
    times = {file: file.stat().st_mtime_ns for file in files}
    write_figures(report, tmp_path)
    assert {file: file.stat().st_mtime_ns for file in files} == times
    changed = replace(first, ladder=first.ladder[1:], sensitivity=())
    write_figures(replace(report, workloads=(changed, report.workloads[1])), tmp_path)
    drawn = {file.stem for file, time in times.items() if file.exists() and file.stat().st_mtime_ns != time}
    assert drawn == {"mlp-on-digits-ladder"}
    assert not (tmp_path / "mlp-on-digits-sensitivity.png").exists()


def test_a_picture_that_was_lost_comes_back(tmp_path: Path) -> None:
    report = replace(made_report(), workloads=made_report().workloads[:1], across=None)
    files = write_figures(report, tmp_path)
    files[0].unlink()
    (tmp_path / HASHES).write_text("{")
    write_figures(report, tmp_path)
    assert files[0].exists()


@pytest.mark.parametrize(
    "report",
    [
        made_report(NASTY),
        made_report(tuple(f"a rather long name of a contender, number {i}" for i in range(12))),
        made_report(("日本語", "عربى", "🦁", "a\x00b\nc", "$x^2_{y$")),
        bare_report(),
        failed_report(),
    ],
    ids=["hostile", "many", "scripts", "bare", "failed"],
)
def test_anything_can_be_drawn_without_a_warning(tmp_path: Path, report: Report) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = write_figures(replace(report, workloads=report.workloads[:1]), tmp_path)
    assert {file.stem for file in files} == names_of(replace(report, workloads=report.workloads[:1]))


def test_workloads_of_one_slug_do_not_overwrite_each_other() -> None:
    report = made_report()
    twins = tuple(replace(report.workloads[0], name=name) for name in ("a b", "a-b", "a/b"))
    names = [name for name, _, _ in wanted(replace(report, workloads=twins, across=None))]
    assert len(names) == len(set(names))


def test_a_name_cannot_lead_out_of_the_folder() -> None:
    report = made_report()
    hostile = replace(report.workloads[0], name="../../etc/passwd")
    assert all("/" not in name and ".." not in name for name in names_of(replace(report, workloads=(hostile,))))
