"""The first screen: the standings, the caveats, what to type next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from made_report import bare_report, made_report
from made_runs import write_run, write_study

from optbench.reports.build.next_steps import next_steps, written
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.caveats import caveats
from optbench.reports.model.cells import texts
from optbench.reports.model.content import Report
from optbench.reports.model.overview import CAVEATS, overview
from optbench.reports.read.reading import read
from optbench.sweeps.study.study import make_study

GOOD, BAD = [0.90, 0.91, 0.89, 0.90, 0.90], [0.50, 0.51, 0.49, 0.50, 0.50]
NEAR = [0.92, 0.91, 0.93, 0.89, 0.91]


def with_rows(report: Report, *changes: dict[str, Any]) -> Report:
    """Return a report whose first workload has rows with these changes."""
    first = report.workloads[0]
    rows = tuple(replace(row, **change) for row, change in zip(first.rows, changes, strict=False))
    workload = replace(first, rows=(*rows, *first.rows[len(rows) :]))
    return replace(report, workloads=(workload, *report.workloads[1:]))


def cells(report: Report) -> dict[str, list[str]]:
    """Return the texts of the standings by contender."""
    return {row[0]: row[1:] for row in texts(overview(report).standings)}


def test_each_workload_has_value_and_rank_and_the_costs_are_against_the_reference() -> None:
    report = made_report()
    found = overview(report).standings
    assert [(column.group, column.title) for column in found.columns] == [
        ("", "contender"),
        ("mlp on digits", "test accuracy \u2191"),
        ("mlp on digits", "rank"),
        ("gpt on docs", "test loss \u2193"),
        ("gpt on docs", "rank"),
        ("against adamw", "speed"),
        ("against adamw", "state"),
    ]
    assert list(cells(report)) == ["lion", "adamw", "sgd", "muon"]
    assert cells(report)["lion"][:2] == ["0.9600 [0.9562, 0.9638]", "1"]
    assert cells(report)["adamw"][-1] == "1\u00d7"


def test_a_rank_that_spans_all_is_unknown() -> None:
    found = cells(with_rows(made_report(), {"rank_low": 1, "rank_high": 4}, {"rank_low": 1, "rank_high": 3}))
    assert (found["lion"][1], found["adamw"][1]) == ("unknown", "1\u20133")


def test_what_a_reader_must_know_stands_beside_the_value() -> None:
    none = {"values": (), "failed": 0}
    found = cells(with_rows(made_report(), {"trained": False}, none | {"waiting": 2}, none | {"failed": 5}, none))
    flags = [found[name][0].rpartition("(")[2] for name in ("lion", "adamw", "sgd", "muon")]
    assert flags == ["not trained)", "2 runs to come)", "5 of 5 failed)", "no result)"]
    assert found["adamw"][1] == ""  # without a result there is no rank


def test_the_trivial_answer_is_a_row_and_a_line() -> None:
    report = made_report()
    assert "trivial answer" not in cells(report)
    known = replace(report, workloads=(replace(report.workloads[0], trivial=0.1), *report.workloads[1:]))
    assert cells(known)["trivial answer"][0] == "0.1"
    figure = overview(known).figure
    assert figure and [panel.line for panel in figure.data.panels] == [0.1, None]  # type: ignore[union-attr]


def test_the_three_weightiest_caveats_come_first() -> None:
    report = with_rows(made_report(), {}, {"trained": False}, {"given": ("optimizer.betas=[0.5,0.9] (recipe dcgan)",)})
    first = overview(report)
    assert len(first.caveats) == CAVEATS and list(first.caveats + first.further) == caveats(report)
    assert first.caveats[0] == "Not shown to beat the trivial answer: adamw (mlp on digits)."
    assert first.caveats[1] == "3 runs have not ended yet."
    assert any("sgd optimizer.betas=[0.5,0.9] (recipe dcgan)" in line for line in first.further)
    assert "1 run failed: 1 diverged." in first.further
    assert "2 files or folders could not be read and were left out." in first.further


def test_a_caveat_names_all_contenders_or_a_few() -> None:
    edge = {"edges": (("optimizer.lr", "high"),)}
    report = replace(with_rows(made_report(), edge, edge, edge, edge), open_runs=0, failures=(), skipped=())
    report = replace(report, workloads=report.workloads[:1])
    edges = "Undertuned, as the best value lies on an edge of the search range: all contenders."
    assert edges in caveats(report)
    assert caveats(bare_report())[-1].startswith("Not tuned here")


def test_the_answer_has_at_most_two_sentences() -> None:
    report = made_report()
    assert overview(report).answer == report.answer
    assert report.across
    more = replace(report, answer=("a", "b", "c"))
    assert overview(more).answer == report.across.answer[:2]
    assert overview(replace(more, across=None)).answer == ("a", "b")


def test_where_nobody_learned_the_answer_says_so_first() -> None:
    report = replace(made_report(), answer=("a", "b", "c"))
    rows = [tuple(replace(row, trained=False) for row in one.rows) for one in report.workloads]
    first, second = (replace(one, rows=own) for one, own in zip(report.workloads, rows, strict=True))
    assert report.across
    one = overview(replace(report, workloads=(first, report.workloads[1]))).answer
    assert one == (
        "Nobody learned on mlp on digits: no contender is shown to beat the trivial answer.",
        report.across.answer[0],
    )
    (both,) = overview(replace(report, workloads=(first, second))).answer
    assert both.startswith("Nobody learned: no contender")


def test_an_answer_before_the_end_is_one_so_far() -> None:
    report = replace(made_report(), answer=("a", "b", "c"))
    assert report.across
    waits = with_rows(report, {}, {"waiting": 2})
    assert overview(waits).answer[0] == f"So far: {report.across.answer[0]}"


# -- what to type next -------------------------------------------------------------------------------------------------

SWEEP = ("optimizer=good,near,bad", "model=made")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a study whose first two contenders are not told apart."""
    monkeypatch.chdir(tmp_path)
    folder = write_study(tmp_path / "results", {"good": GOOD, "near": NEAR, "bad": BAD})
    return changed(folder, settings=made_settings(trials=3))


def made_settings(**given: Any) -> dict[str, Any]:
    """Return the settings of a study that was typed."""
    typed = make_study(["optimizer=sgd,lion", "model=mlp"], given, name="made").as_dict()
    return typed | {"overrides": list(SWEEP)}


def changed(folder: Path, **changes: Any) -> Path:
    """Return a study with changes to its study.json."""
    tree = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(tree | changes))
    return folder


def settings(folder: Path, **changes: Any) -> Path:
    return changed(folder, settings=json.loads((folder / "study.json").read_text())["settings"] | changes)


def steps(folder: Path) -> list[str]:
    return [step.command for step in build(read(folder), ReportOptions(records=False)).next_steps]


START = "optbench sweep optimizer=good,near,bad model=made --study made --trials 3"


def test_the_seeds_that_would_decide_are_those_of_compare(study: Path, call: Call) -> None:
    pair = json.loads(call("compare", "good", "near", "made", "--json")[1])["workloads"][0]["pair"]
    assert pair["verdict"] == "undecided" and pair["more_seeds"]
    assert steps(study) == [f"{START} --seeds {5 + pair['more_seeds']}"]
    for words in (("report", "made", "--text"), ("report", "made", "--only", "json")):
        out = call(*words)[1]
        assert f"{pair['more_seeds']} more seeds for each would decide who is best." in out
        assert f"  {START} --seeds {5 + pair['more_seeds']}\n" in out


def test_a_half_finished_study_is_continued_by_the_same_command(study: Path) -> None:
    next(study.glob("near-final-*/result.json")).unlink()
    assert steps(study) == [START]


def test_a_study_without_a_final_run_on_two_workloads_has_a_report(study: Path) -> None:
    for file in study.glob("*-final-*/result.json"):
        file.unlink()
    for n, name in enumerate(("good", "near", "bad") * 2):
        folder = write_run(study, name, "tune", n, n, 0.5, "max")
        tree = json.loads((folder / "run.json").read_text())
        tree["config"]["model"]["name"] = "made" if n < 3 else "other"
        (folder / "run.json").write_text(json.dumps(tree))
    report = build(read(study), ReportOptions(records=False))
    assert len(report.workloads) == 2 and report.next_steps[0].command == START
    assert overview(report).caveats[0] == "15 runs have not ended yet."
    assert "no final seed has ended yet" in overview(report).answer[0]
    assert cells(report)["good"][0] == "5 runs to come"


def test_edges_are_extended(study: Path) -> None:
    cells = json.loads((study / "study.json").read_text())["cells"]
    cells[0]["edges"] = [["optimizer.lr", "high"]]
    assert steps(changed(study, cells=cells))[0] == f"{START} --extend-edges"
    settings(study, extend_edges=True)
    reasons = [step.reason for step in build(read(study), ReportOptions(records=False)).next_steps]
    assert not any("edge" in reason for reason in reasons)


def test_a_switch_that_the_protocol_sets_is_turned_off() -> None:
    assert written("--extend-edges", False) == ["--no-extend-edges"] and written("--recipes", True) == ["--recipes"]
    assert written("--budgets", [0.5, 1.0]) == ["--budgets", "0.5,1"] and written("--seeds", 7) == ["--seeds", "7"]


def test_failed_runs_are_retried(study: Path) -> None:
    file = next(study.glob("near-final-*/result.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "timed_out"}))
    assert steps(study)[0] == f"{START} --retry timed_out"


def test_who_learned_nothing_trains_longer(study: Path) -> None:
    report = build(read(study), ReportOptions(records=False))
    idle = tuple(
        replace(one, steps=100, rows=tuple(replace(row, trained=False) for row in one.rows)) for one in report.workloads
    )
    (step,) = next_steps(read(study), idle, ())
    assert step.command == "optbench sweep optimizer=good,near,bad model=made steps=400 --trials 3"


def test_a_study_file_is_named(study: Path) -> None:
    found = settings(study, name="lion-vit-cpu", scale="cpu", claim={"measure": "test_metric"})
    assert steps(found)[0].startswith("optbench sweep experiments/lion-vit/study.yaml --scale cpu --study lion-vit-cpu")
    assert steps(settings(study, name="mine", scale=None, title="Mine"))[0].startswith("optbench sweep STUDY.yaml ")


@pytest.mark.parametrize(
    "only",
    [{"parts": {"a": {"overrides": ["model=mlp"]}}}, {"more_budgets": {"good": [2.0]}}, {"include_default": True}],
)
def test_what_only_a_file_can_say_is_never_typed_out(study: Path, only: dict[str, object]) -> None:
    assert steps(settings(study, name="mine", scale=None, **only))[0].startswith("optbench sweep STUDY.yaml ")


def test_another_results_folder_is_named(study: Path, tmp_path: Path) -> None:
    study.parent.rename(tmp_path / "else where")
    assert " --results-dir 'else where'" in steps(tmp_path / "else where" / "made")[0]


def test_plain_runs_lead_to_a_sweep(study: Path) -> None:
    (study / "study.json").unlink()
    for file in study.glob("*/run.json"):
        tree = json.loads(file.read_text())
        tree["overrides"] = [f"optimizer={tree['config']['optimizer']['name']}", "model=vit", "seed=3"]
        file.write_text(json.dumps(tree))
    assert steps(study) == ["optbench sweep optimizer=bad,good,near model=vit"]


@pytest.mark.parametrize(
    ("scores", "option"),
    [([0.90, 0.60, 0.58, 0.55], "--trials 8"), ([0.90, 0.91, 0.89, 0.90], "--shortlist-seeds 6")],
)
def test_what_final_seeds_cannot_decide_asks_for_what_limits_it(
    tmp_path: Path, scores: list[float], option: str
) -> None:
    tuning = {"good": scores, "near": [score - 0.01 for score in scores]}
    finals = {"good": [0.95, 0.85, 0.90, 0.88], "near": [0.84, 0.94, 0.90, 0.87]}
    study = write_study(tmp_path, finals, tuning=tuning, settings=made_settings(trials=4))
    for file in study.glob("*-tune-*/run.json"):
        run = json.loads(file.read_text())
        run["sweep"]["group"] = run["sweep"]["trial"] % 2
        file.write_text(json.dumps(run))
    (command,) = steps(study)
    assert f" {option} " in command
