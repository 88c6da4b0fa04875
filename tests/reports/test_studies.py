"""Reports of several studies: a page for each, and the list of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Call
from made_runs import write_study

from optbench.errors import NoResultsError
from optbench.reports.build.studies import build_studies, entries
from optbench.reports.build.workload import ReportOptions
from optbench.reports.read.locate import located

GOOD, BAD = [0.90, 0.91, 0.89, 0.90, 0.90], [0.50, 0.51, 0.49, 0.50, 0.50]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a results folder with two studies that share runs, and one that nothing can be said of yet."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results"
    write_study(folder, {"good": GOOD, "bad": BAD}, study="first")
    write_study(folder, {"good": GOOD, "same": GOOD}, study="second & last")
    titled = folder / "first" / "study.json"
    titled.write_text(json.dumps(json.loads(titled.read_text()) | {"settings": {"title": "Is good <better>?"}}))
    for file in write_study(folder, {"slow": GOOD}, study="waiting").glob("*/result.json"):
        file.unlink()
    return folder


def test_each_study_has_a_page_and_the_list_leads_to_it(root: Path, call: Call, tmp_path: Path) -> None:
    code, out, err = call("report", "-o", "out", "--only", "html,md,json")
    assert code == 0 and "waiting: no report: " in err
    assert "first: made-up: use good." in out and "written: out/index.html, out/index.md, out/index.json" in out
    for name in ("first", "second & last"):
        assert (tmp_path / "out" / name / "report.html").is_file()
    assert not (tmp_path / "out" / "waiting").exists()
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<a href="first/report.html">first</a>' in page
    assert '<a href="second%20%26%20last/report.html">second &amp; last</a>' in page
    assert "Is good &lt;better&gt;?" in page and "good, same on made-up" in page
    assert "none of the 5 runs has ended yet" in page and "5 (5 to come)" in page
    assert "[first](first/report.md)" in (tmp_path / "out" / "index.md").read_text()
    listed = json.loads((tmp_path / "out" / "index.json").read_text())["studies"]
    assert [(one["study"], one["runs"], one["has_report"]) for one in listed] == [
        ("first", 10, True),
        ("second & last", 10, True),  # the runs of `good` are in both
        ("waiting", 5, False),
    ]


def test_several_studies_as_text_and_json(root: Path, call: Call) -> None:
    code, out, _ = call("report", "--text")
    assert code == 0 and "== first ==" in out and out.index("question") < out.index("== first ==")
    assert "Is good <better>?" in out
    tree = json.loads(call("report", "--json")[1])["studies"]
    assert tree["first"]["workloads"][0]["rows"][0]["contender"] == "good"
    assert "none of the 5 runs" in tree["waiting"]["problem"]


def test_a_study_is_found_by_its_name(root: Path, call: Call) -> None:
    by_name, by_folder = (json.loads(call("report", word, "--json")[1]) for word in ("first", "results/first"))
    assert by_name["rows" if "rows" in by_name else "workloads"] == by_folder["workloads"]
    assert by_name["command"] == by_folder["command"] == "optbench report results/first"
    assert located(None) == Path("results")
    with pytest.raises(NoResultsError, match=r"Did you mean first\?"):
        located(Path("frist"))


def test_a_refusal_of_every_study_is_the_error(root: Path) -> None:
    with pytest.raises(NoResultsError, match="none of the 5 runs has ended yet"):
        build_studies(root / "waiting", ReportOptions(records=False))


def test_the_day_is_that_of_the_last_run(root: Path) -> None:
    run = root / "first" / "good-final-0-s1000" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"started_at": "2026-01-31T10:00:00+0000"}))
    found = {one.study: one for one in entries(build_studies(root, ReportOptions(records=False)))}
    assert (found["first"].date, found["waiting"].date) == ("2026-01-31", "")


def test_a_folder_wins_over_a_name_if_it_has_runs(root: Path) -> None:
    (root.parent / "first").mkdir()  # it may hold study.yaml
    assert located(Path("first")) == Path("results/first")
    write_study(root.parent, {"good": GOOD}, study="first")
    assert located(Path("first")) == Path("first")
