"""The folder of a report: files are whole, the same report gives the same bytes, and errors are clear."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from made_report import NASTY, bare_report, failed_report, made_report

from optbench.errors import ConfigError, StorageError
from optbench.reports.model.content import Estimate, Report
from optbench.reports.render.write import check_kinds, plain, write_report


def test_everything_is_written_and_linked(tmp_path: Path) -> None:
    made = made_report(root=tmp_path)
    report = replace(made, workloads=made.workloads[:1])
    files = write_report(report, tmp_path / "report", root=tmp_path)
    assert len(files) == len(set(files)) and all(file.stat().st_size for file in files)
    names = {str(file.relative_to(tmp_path / "report")) for file in files}
    assert {"report.html", "report.md", "report.json", "tables/leaderboard.csv"} <= names
    linked = re.findall(r"^!\[.*\]\((.+)\)$", (tmp_path / "report" / "report.md").read_text(), flags=re.M)
    assert sorted(linked) == sorted(name for name in names if name.endswith(".png"))
    assert not list((tmp_path / "report").rglob("*.tmp"))


def test_the_same_report_gives_the_same_bytes_and_leaves_files_alone(tmp_path: Path) -> None:
    kinds = ("html", "md", "json", "csv")
    first = write_report(made_report(), tmp_path / "a", root=tmp_path, kinds=kinds)
    second = write_report(made_report(), tmp_path / "b", root=tmp_path, kinds=kinds)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    times = {file: file.stat().st_mtime_ns for file in first if file.suffix != ".html"}
    write_report(made_report(), tmp_path / "a", root=tmp_path, kinds=kinds)
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_the_file_of_a_table_without_rows_is_removed(tmp_path: Path) -> None:
    write_report(made_report(), tmp_path, root=tmp_path, kinds=("csv",))
    (tmp_path / "tables" / "mine.csv").write_text("kept")
    mended = replace(made_report(), skipped=(), failures=())
    before = {file.name for file in (tmp_path / "tables").iterdir()}
    write_report(mended, tmp_path, root=tmp_path, kinds=("csv",))
    assert before - {file.name for file in (tmp_path / "tables").iterdir()} == {"skipped.csv", "failures.csv"}


@pytest.mark.parametrize("kind", ["html", "md", "json", "csv"])
def test_only_requested_outputs_are_written(tmp_path: Path, kind: str) -> None:
    files = write_report(made_report(), tmp_path / "out", root=tmp_path, kinds=(kind,))
    assert {file.suffix for file in files} == {f".{kind}"}
    assert {file for file in (tmp_path / "out").rglob("*") if file.is_file()} == set(files)


@pytest.mark.parametrize(
    "report", [made_report(), made_report(NASTY), bare_report(), failed_report()], ids=["made", "nasty", "bare", "bad"]
)
def test_json_is_the_report(report: Report) -> None:
    text = json.dumps(plain(report), allow_nan=False)
    assert json.loads(text) == json.loads(json.dumps(asdict(report)))


def test_json_has_no_nan() -> None:
    estimate = Estimate(math.nan, -math.inf, 1.0, 3)
    assert plain(estimate) == {"value": None, "low": None, "high": 1.0, "n": 3}
    assert plain({"a": (math.nan, {1: [math.inf]})}) == {"a": [None, {"1": [None]}]}


def test_text_without_utf8_is_written_with_replacements(tmp_path: Path) -> None:
    made = made_report()
    report = replace(made, title="\udcff", workloads=(replace(made.workloads[0], name="\udcff"),))
    for file in write_report(report, tmp_path, root=tmp_path, kinds=("md", "json", "csv")):
        file.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["html", "md", "json", "csv", "figures"])
def test_a_path_that_is_taken_raises_one_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="file: cannot be written"):
        write_report(made_report(), tmp_path / "file", root=tmp_path, kinds=(kind,))
    with pytest.raises(StorageError, match="cannot be written"):
        write_report(made_report(), tmp_path / "file" / "below", root=tmp_path, kinds=(kind,))
    assert (tmp_path / "file").read_text() == "mine"
    for name in ("report.html", "report.md", "report.json", "tables/leaderboard.csv"):
        (tmp_path / "folder" / name).mkdir(parents=True)
    (tmp_path / "folder" / "figures").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        write_report(made_report(), tmp_path / "folder", root=tmp_path, kinds=(kind,))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_raises_one_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        write_report(made_report(), tmp_path / "out", root=tmp_path, kinds=("json",))
    tmp_path.chmod(0o700)


def test_an_unknown_output_is_refused() -> None:
    check_kinds(("html", "figures"))
    with pytest.raises(ConfigError, match="--only: unknown output 'docx'; choose from html"):
        check_kinds(("html", "docx"))
