"""`optbench report` on the command line."""

from __future__ import annotations

import csv
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from made_runs import write_study

from optbench.benches.reporting.tree import make_tree
from optbench.reports.claims.gains import Gain, relation
from optbench.reports.read.reading import read
from optbench.reports.watch import all_finished

VALUES = {"good": [0.90, 0.91, 0.89, 0.90, 0.90], "bad": [0.50, 0.51, 0.49, 0.50, None]}
TUNING = {"good": [0.9, 0.1, 0.2], "bad": [0.5, 0.1, None]}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "results", VALUES, tuning=TUNING)


def test_the_answer_is_printed_and_everything_is_written(study: Path, call: Call, tmp_path: Path) -> None:
    code, out, _ = call("report", study, "-o", tmp_path / "out")
    assert code == 0
    assert out.startswith("made-up: use good. It beats bad in score")
    names = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert {"report.html", "report.md", "report.json", "tables/leaderboard.csv", "tables/failures.csv"} <= names
    assert {"figures/made-up-leaderboard.png", "figures/made-up-leaderboard.svg"} <= names
    assert "good" in (tmp_path / "out" / "report.html").read_text()


def test_the_default_is_a_folder_called_report(study: Path, call: Call, tmp_path: Path) -> None:
    assert call("report", study, "--only", "json")[0] == 0
    assert [file.name for file in (tmp_path / "report").iterdir()] == ["report.json"]


def test_open_shows_the_page(study: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda page: not shown.append(page))
    assert call("report", study, "--text", "--open")[0] == 0
    assert shown == [(tmp_path / "report" / "report.html").as_uri()]
    tree = json.loads((study / "study.json").read_text())
    tree["cells"] = [{**cell, "stage": "done"} for cell in tree["cells"]]
    (study / "study.json").write_text(json.dumps(tree))  # else --watch waits for its end
    assert call("report", study, "--watch", "--open")[0] == 0
    assert len(shown) == 2
    code, _, err = call("report", study, "--only", "csv", "--open")
    assert code == 2 and "--open: no page was written" in err
    monkeypatch.setattr("webbrowser.open", lambda page: False)
    code, _, err = call("report", study, "--open")
    assert code == 4 and "no browser was found" in err


def test_the_same_results_give_the_same_bytes(study: Path, call: Call, tmp_path: Path) -> None:
    for out in ("a", "b"):
        call("report", study, "-o", tmp_path / out)
    first, second = (
        {f.relative_to(tmp_path / out): f.read_bytes() for f in (tmp_path / out).rglob("*") if f.is_file()}
        for out in ("a", "b")
    )
    assert first == second


def test_text_writes_nothing(study: Path, call: Call, tmp_path: Path) -> None:
    code, out, _ = call("report", study, "--text")
    assert code == 0
    assert "rank" in out and "good is better than bad" in out and "1 runs failed" not in out
    assert "2 runs failed: 2 diverged" in out
    assert not (tmp_path / "report").exists()
    call("report", study, "--text", "-o", "out", "--only", "json")
    assert (tmp_path / "out" / "report.json").exists()


def test_json_is_the_report(study: Path, call: Call) -> None:
    code, out, _ = call("report", study, "--json")
    tree = json.loads(out)
    assert code == 0
    (workload,) = tree["workloads"]
    assert [row["contender"] for row in workload["rows"]] == ["good", "bad"]
    assert workload["rows"][1]["failed"] == 1
    assert workload["budget_curves"][0]["expected"][-1] == 0.9
    assert tree["claim"] is None and tree["open_runs"] == 0


def test_tables_hold_what_the_report_holds(study: Path, call: Call, tmp_path: Path) -> None:
    call("report", study, "-o", tmp_path / "out", "--only", "csv,json")
    tree = json.loads((tmp_path / "out" / "report.json").read_text())
    with open(tmp_path / "out" / "tables" / "leaderboard.csv") as file:
        rows = list(csv.DictReader(file))
    for row, known in zip(rows, tree["workloads"][0]["rows"], strict=True):
        assert float(row["test"]) == known["test"]["value"] and float(row["test_low"]) == known["test"]["low"]
        assert (row["workload"], row["contender"], int(row["test_n"])) == (
            "made-up",
            known["contender"],
            known["test"]["n"],
        )
    with open(tmp_path / "out" / "tables" / "runs.csv") as file:
        assert len(list(csv.DictReader(file))) == len(tree["runs"]) == 16


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 5, "nowhere: no such folder or study\nKnown: made"),
        (["mad"], 5, "Did you mean made?"),
        (["results/mad"], 5, "Did you mean results/made?"),
        (["other/mad"], 5, "No results in other/mad yet"),
        (["results/made", "--margin", "much"], 2, "--margin much"),
        (["results/made", "--mix", "apples"], 2, "--mix: unknown kind 'apples'"),
        (["results/made", "--only", "docx"], 2, "--only: unknown output 'docx'"),
        (["results/made", "--level", "95"], 2, "--level 95"),
        (["results/made", "--watch", "--every", "0"], 2, "--every 0"),
        (["results/made", "--wandb", "x"], 2, "mutually exclusive"),
        (["--watch", "--wandb", "x"], 2, "only a results folder"),
        (["results/made", "-o", "results/made/study.json"], 2, "study.json"),
    ],
)
def test_bad_input_gets_one_clear_error(study: Path, call: Call, words: list[str], code: int, message: str) -> None:
    found, out, err = call("report", *words)
    assert (found, out) == (code, "")
    assert message in err and "Traceback" not in err
    assert (study / "study.json").is_file()


def test_no_run_that_has_ended_is_exit_5(study: Path, call: Call) -> None:
    for file in study.glob("*/result.json"):
        file.unlink()
    assert call("report", study, "--text")[0] == 5


def test_a_damaged_run_is_reported_and_listed(study: Path, call: Call, tmp_path: Path) -> None:
    (study / "good-final-0-s1000" / "result.json").write_text("{")
    _, _, err = call("report", study, "-o", "out", "--only", "csv")
    assert "left out: made/good-final-0-s1000" in err
    assert "good-final-0-s1000" in (tmp_path / "out" / "tables" / "skipped.csv").read_text()


def test_a_formula_in_a_name_stays_text(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path / "results", {"=1+1": [0.9, 0.8], "\x1b[31mred": [0.5, 0.4]})
    call("report", study, "-o", "out", "--only", "csv")
    assert "'=1+1" in (tmp_path / "out" / "tables" / "leaderboard.csv").read_text()
    _, out, _ = call("report", study, "--text")
    assert "\x1b" not in out and "[31mred" in out


def test_a_generated_study_has_every_section(tmp_path: Path, call: Call) -> None:
    study = make_tree(tmp_path / "results", runs=80, records=60)
    code, out, _ = call("report", study, "--json", "--reference", "lion")
    tree = json.loads(out)
    assert code == 0
    for workload in tree["workloads"]:
        assert {curve["column"] for curve in workload["curves"]} == {"val_metric", "val_loss", "train_loss"}
        assert len(workload["bands"]) == 15
        assert {row["kind"] for row in workload["to_target"]} == {"complete", "passing"}
        assert {row["key"] for row in workload["sensitivity"]} == {"optimizer.lr"}
        assert workload["reference"] == "lion"
        assert len(workload["budget_curves"]) == len(workload["pareto"]) == len(workload["resources"]) == 5
        assert all(row["spikes"]["n"] == 4 for row in workload["stability"])
        best = workload["to_target"][5]
        assert best["kind"] == "passing" and best["steps"]["value"] < 60
    across = tree["across"]
    assert {score["contender"] for score in across["scores"]} == {"adamw", "lion", "muon", "nadam", "sgd"}
    assert len(across["leave_one_out"]) == 2 and across["profiles"]


# -- watching ----------------------------------------------------------------------------------------------------------


def written_at_once(file: Path, text: str) -> None:
    """Write a file as sweeps do: a reader sees all of it or nothing."""
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_watching_follows_a_sweep_to_its_end(study: Path, call: Call, tmp_path: Path) -> None:
    done = {file: file.read_text() for file in study.glob("*/result.json")}
    tree = json.loads((study / "study.json").read_text())
    for file in done:
        file.unlink()

    def sweep() -> None:
        time.sleep(1.0)
        for file, text in sorted(done.items()):
            time.sleep(0.05)
            written_at_once(file, text)
        for cell in tree["cells"]:
            cell["stage"] = "done"
        written_at_once(study / "study.json", json.dumps(tree))

    going = threading.Thread(target=sweep)
    going.start()
    code, out, _ = call("report", study, "--watch", "--every", "0.05", "-o", "out", "--only", "html,json")
    going.join()
    assert code == 0
    assert out.startswith(f"{study.parent}: none of the 16 runs has ended yet")
    assert any(line.startswith("made-up: use good") for line in out.splitlines())
    assert 'http-equiv="refresh"' not in (tmp_path / "out" / "report.html").read_text()
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["runs"]) == 16


def test_a_study_is_finished_when_all_cells_are_done(study: Path) -> None:
    assert not all_finished(read(study))
    tree = json.loads((study / "study.json").read_text())
    for cell in tree["cells"]:
        cell["stage"] = "done"
    (study / "study.json").write_text(json.dumps(tree))
    assert all_finished(read(study))
    (study / "good-final-0-s1000" / "result.json").unlink()
    assert not all_finished(read(study))


# -- claims ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "low", "high", "margin", "holds"),
    [
        ("better", 0.1, 0.3, 0.0, True),
        ("better", -0.1, 0.3, 0.0, None),
        ("better", -0.3, -0.1, 0.0, False),
        ("better", -0.3, 0.05, 0.1, False),
        ("worse", -0.3, -0.1, 0.0, True),
        ("worse", 0.1, 0.3, 0.0, False),
        ("not_worse", -0.05, 0.3, 0.1, True),
        ("not_worse", -0.2, 0.3, 0.1, None),
        ("not_worse", -0.3, -0.2, 0.1, False),
        ("not_better", -0.3, 0.05, 0.1, True),
        ("not_better", 0.2, 0.3, 0.1, False),
        ("tie", -0.05, 0.05, 0.1, True),
        ("tie", -0.05, 0.2, 0.1, None),
        ("tie", 0.2, 0.3, 0.1, False),
    ],
)
def test_relations(word: str, low: float, high: float, margin: float, holds: bool | None) -> None:
    assert relation(word, Gain(low, high, margin)) is holds


def with_claim(study: Path, **claim: Any) -> Path:
    tree = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps(tree | {"settings": {"claim": claim}}))
    return study


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        ({"measure": "test_metric", "of": "good", "against": "bad", "relation": "better"}, True),
        ({"measure": "test_metric", "of": "bad", "against": "good", "relation": "not_worse", "margin": 0.01}, False),
        ({"measure": "test_metric", "of": "good", "against": "same", "relation": "tie", "margin": 0.1}, True),
        ({"measure": "test_metric", "of": "good", "against": "same", "relation": "better"}, None),
        ({"measure": "train_seconds", "of": "good", "against": "bad", "relation": "better", "margin": 0.1}, False),
        ({"measure": "train_seconds", "of": "good", "against": "bad", "relation": "tie", "margin": 0.1}, True),
        ({"measure": "test_metric", "of": "good", "against": "nobody", "relation": "better"}, None),
    ],
)
def test_a_study_s_claim_is_decided(tmp_path: Path, call: Call, claim: dict[str, Any], holds: bool | None) -> None:
    values = {"good": [0.90, 0.91, 0.89, 0.90, 0.90], "same": [0.90, 0.89, 0.91, 0.9, 0.9], "bad": [0.5, 0.51, 0.49]}
    study = with_claim(write_study(tmp_path, values), **claim)
    found = json.loads(call("report", study, "--json")[1])["claim"]
    assert found["holds"] is holds
    assert {True: "is supported", False: "is not supported", None: "is undecided"}[holds] in found["sentence"]


def test_a_claim_of_several_criteria_is_shown_with_each(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": VALUES["good"], "bad": [0.5, 0.51, 0.49]})
    tree = json.loads((study / "study.json").read_text())
    shown = {"measure": "test_metric", "of": "good", "against": "bad", "relation": "better", "text": "good <wins>"}
    claims = [shown, shown | {"relation": "worse", "text": ""}]
    settings = {"claim": claims, "title": "Good & better"}
    (study / "study.json").write_text(json.dumps(tree | {"settings": settings}))
    call("report", study, "-o", tmp_path / "out", "--only", "html,md,json")
    found = json.loads((tmp_path / "out" / "report.json").read_text())["claim"]
    assert found["text"] == "Good & better" and found["holds"] is False and found["few"] and found["seeds"] == 3
    assert [one["holds"] for one in found["criteria"]] == [True, False]
    assert found["sentence"].startswith("The claim is mixed (1 of 2). Supported: good <wins>; not supported: good is")
    message = "not supported: good is worse than bad in test_metric"
    assert message.replace("_", "\\_") in (tmp_path / "out" / "report.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert message in page and "supported: good &lt;wins&gt;" in page
    assert message in call("report", study, "--text")[1].replace("\n", " ")


COLOUR = {"measure": "colour", "of": "good", "against": "bad", "relation": "better"}


@pytest.mark.parametrize(
    "claim", [{"measure": 3}, {"of": "good"}, {"relation": "odd", "of": "a", "against": "b"}, COLOUR]
)
def test_a_malformed_claim_is_ignored(study: Path, call: Call, claim: dict[str, Any]) -> None:
    assert json.loads(call("report", with_claim(study, **claim), "--json")[1])["claim"] is None


# -- W&B ---------------------------------------------------------------------------------------------------------------


class History:
    """A run of W&B's API."""

    def __init__(self, folder: Path) -> None:
        run = json.loads((folder / "run.json").read_text()) | {"study": folder.parent.name}
        self.config = {"run_json": json.dumps(run), "optimizer.name": run["config"]["optimizer"]["name"]}
        self.summary = {"result_json": (folder / "result.json").read_text()}
        self.lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.asked = 0

    def scan_history(self) -> list[dict[str, Any]]:
        self.asked += 1
        rows = [{name: value for name, value in row.items() if value is not None} for row in self.lines]
        return [row | {"_step": i, "_runtime": 1.0, "picture": {"_type": "image-file"}} for i, row in enumerate(rows)]


class Project:
    def __init__(self, runs: list[Any]) -> None:
        self.found = runs

    def runs(self, project: str) -> list[Any]:
        return self.found


def test_runs_survive_a_round_trip_through_wandb(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from optbench.reports.read.from_wandb import fetch

    study = make_tree(tmp_path / "results", runs=20, records=30)
    project = Project([History(folder) for folder in sorted(study.glob("*-*"))])
    foreign = type("Run", (), {"config": {"lr": 1}, "summary": {}})()
    folder = fetch("me/it", tmp_path / "other", Project([*project.found, foreign]))
    assert caplog.messages == ["1 runs of me/it were not logged by optbench and are left out"]
    there, back = read(study), read(folder)
    keys = ("run_id", "contender", "val", "test", "trial", "stage", "train_seconds", "seed")
    assert [[run[key] for key in keys] for run in back.runs] == [[run[key] for key in keys] for run in there.runs]
    columns = ("run_id", "step", "split", "val_metric", "train_loss")
    assert back.records(columns=columns)[0].equals(there.records(columns=columns)[0])
    fetch("me/it", tmp_path / "other", project)
    assert {run.asked for run in project.found} == {1}


def test_a_wandb_project_without_optbench_runs_is_exit_5(tmp_path: Path) -> None:
    from optbench.errors import MissingError, NoResultsError
    from optbench.reports.read.from_wandb import fetch

    with pytest.raises(NoResultsError, match="none of its 0 runs"):
        fetch("it", tmp_path, Project([]))

    class Broken:
        def runs(self, project: str) -> Any:
            raise ValueError("Could not find project it")

    with pytest.raises(MissingError, match="Could not find project it"):
        fetch("it", tmp_path, Broken())


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", ""])
def test_names_from_wandb_cannot_escape_the_folder(tmp_path: Path, name: str) -> None:
    from optbench.errors import NoResultsError
    from optbench.reports.read.from_wandb import fetch

    study = make_tree(tmp_path / "results", runs=20, records=10)
    run = History(next(study.glob("*-*")))
    run.config["run_json"] = json.dumps(json.loads(run.config["run_json"]) | {"study": name})
    with pytest.raises(NoResultsError):
        fetch("it", tmp_path / "other", Project([run]))
    shutil.rmtree(study)
