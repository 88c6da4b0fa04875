"""Results of optbench's functions: the numbers of the command line, and what a notebook shows."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from made_runs import write_study
from matplotlib.figure import Figure

import optbench
from optbench.errors import ConfigError, NoResultsError, StorageError
from optbench.records import Status

GOOD, BAD = [0.90, 0.91, 0.89, 0.90, 0.90], [0.50, 0.51, 0.49, 0.50, 0.50]
TUNING = {"good": [0.9, 0.1, 0.2], "bad": [0.5, 0.1, 0.2]}
SMALL: dict[str, Any] = {"model": "mlp", "steps": 4, "tracker": "none", "threads": 1}
HOSTILE = "<script>alert('&')"
VOID = ("img", "input", "meta")


class Tags(HTMLParser):
    """Checks that every tag is closed, and keeps their names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def html_of(shown: Any) -> str:
    """The HTML of a result, which is well formed and has no script."""
    text = shown._repr_html_()
    assert "script" not in Tags(text).seen and len(repr(shown)) < 400
    return text


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "results", {"good": GOOD, "bad": BAD}, tuning=TUNING)


def test_a_report_has_what_the_command_writes(study: Path, tmp_path: Path, call: Call) -> None:
    made = optbench.report(study, tmp_path / "from-python")
    assert call("report", study, "-o", tmp_path / "from-cli")[0] == 0
    for name in ("report.md", "report.json", "tables/leaderboard.csv"):
        mine, theirs = ((tmp_path / folder / name).read_text() for folder in ("from-python", "from-cli"))
        assert mine == theirs
    assert {file.name for file in made.files} >= {"report.html", "report.md", "report.json"}
    assert made.model.workloads[0].rows[0].contender == "good" and "use good" in made.answer[0]
    assert made.tables["leaderboard"]["contender"].to_list() == ["good", "bad"]
    assert made.markdown.startswith("#") and made.html.startswith("<!")
    assert "made-up" in html_of(made) and "use good" in str(made)


def test_figures_are_those_of_matplotlib(study: Path) -> None:
    figures = optbench.report(study).figures
    assert {"overview", "made-up-leaderboard"} <= set(figures)
    assert all(isinstance(figure, Figure) for figure in figures.values())
    assert figures["leaderboard"] is figures["made-up-leaderboard"]
    with pytest.raises(KeyError, match="did you mean overview"):
        figures["overvew"]


def test_several_studies_are_reports_by_name(study: Path) -> None:
    write_study(study.parent, {"good": BAD, "bad": GOOD}, study="second")
    made = optbench.report(study.parent)
    assert list(made) == ["made", "second"] and "use bad" in made["second"].answer[0]
    assert "second" in html_of(made) and "second" in str(made)


def test_a_comparison_is_that_of_the_command(study: Path, call: Call) -> None:
    made = optbench.compare("bad", "good", study)
    assert json.loads(call("compare", "bad", "good", study, "--json")[1]) == json.loads(json.dumps(made.as_dict()))
    assert made.verdict == "worse" and made.difference == pytest.approx(-0.4)
    low, high = made.interval
    assert low is not None and high is not None and low < -0.4 < high < 0 and (made.p or 0) < 0.05
    assert "good is better than bad" in made.sentence and made.evidence
    assert "good is better than bad" in html_of(made) and str(made).startswith("made-up: good is better")


def test_a_comparison_on_several_workloads_has_a_verdict_each(study: Path) -> None:
    write_study(study.parent, {"good": BAD, "bad": GOOD}, study="second")
    made = optbench.compare("good", "bad", study.parent)
    assert [one.verdict for one in made.workloads] == ["better", "worse"]
    with pytest.raises(ConfigError, match="2 workloads have a verdict each"):
        _ = made.verdict


def test_names_cannot_become_tags(tmp_path: Path) -> None:
    study = write_study(tmp_path, {HOSTILE: GOOD, "bad": BAD}, tuning={HOSTILE: [0.9], "bad": [0.5]}, data_name=HOSTILE)
    for shown in (optbench.report(study), optbench.compare(HOSTILE, "bad", study), optbench.results(study)):
        html_of(shown)
    assert "&lt;script&gt;" in html_of(optbench.report(study))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 2.0}, "--level 2"),
        ({"level": "x"}, "--level x"),
        ({"margin": "x"}, "--margin x"),
        ({"mix": "all"}, "--mix"),
        ({"only": 3}, "only=3"),
    ],
)
def test_bad_options_of_a_report(study: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        optbench.report(study, **options)
    assert message in caught.value.message
    with pytest.raises(ConfigError):
        optbench.compare("good", "good", study)
    with pytest.raises(ConfigError):
        optbench.compare(1, "good", study)  # type: ignore[arg-type]
    with pytest.raises(NoResultsError):
        optbench.report(study / "nowhere")
    with pytest.raises(StorageError):
        optbench.report(study, "x" * 300)


def test_a_run_is_a_dict_that_shows_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = optbench.run(**SMALL, results_dir=tmp_path)
    assert capsys.readouterr() == ("", "") and made.succeeded
    assert json.loads(json.dumps(made)) == dict(made) == pickle.loads(pickle.dumps(made))
    assert made.records()["step"].max() == 4
    assert made["run_id"] in html_of(made) and "accuracy" in str(made) and "accuracy" in repr(made)
    shown = optbench.run(**SMALL, results_dir=tmp_path, progress=True, force=True)
    assert shown["final"] == made["final"] and "step 4/4" in capsys.readouterr().err


def test_a_failed_run_is_a_result(tmp_path: Path) -> None:
    made = optbench.run({"optimizer.lr": 1e30}, optimizer="sgd", **{**SMALL, "steps": 40}, results_dir=tmp_path)
    assert made["status"] == Status.DIVERGED and not made.succeeded
    assert "diverged" in html_of(made) and "diverged" in repr(made)


def test_a_sweep_has_the_numbers_of_the_command(tmp_path: Path, call: Call) -> None:
    options: dict[str, Any] = {"trials": 1, "seeds": 2, "shortlist": 0, "jobs": 2}
    made = optbench.sweep(optimizer=["lion", "adamw"], **SMALL, **options, results_dir=tmp_path)
    words = ["optimizer=lion,adamw", *(f"{key}={value}" for key, value in SMALL.items()), "--results-dir", tmp_path]
    typed = [word for key, value in options.items() for word in (f"--{key}", value)]
    code, out, _ = call("sweep", *words, *typed, "--json")
    again = json.loads(out)
    assert code == 0 and again["runs"] == {"planned": 6, "ran": 0, "found": 6}
    assert {**again, "runs": None} == {**json.loads(json.dumps(made.tree)), "runs": None}
    assert made.table["contender"].to_list() == list(made.winners) == ["lion", "adamw"]
    assert made.table["test"].to_list() == [cell["final_test"]["mean"] for cell in again["cells"]]
    assert made.runs.height == 6 and made.problem == "" and "lion" in html_of(made)
    assert made.compare("lion", "adamw").verdict in ("better", "worse", "tie", "undecided")
    assert optbench.report(made).model.studies == (made.name,)


def test_a_thread_runs_while_an_event_loop_does(tmp_path: Path) -> None:
    import asyncio

    made: list[Any] = []

    async def cell() -> None:
        made.append(optbench.run(**SMALL, results_dir=tmp_path))
        thread = threading.Thread(target=lambda: made.append(optbench.run(**SMALL, seed=1, results_dir=tmp_path)))
        thread.start()
        thread.join()

    asyncio.run(cell())
    assert [run["status"] for run in made] == ["completed", "completed"]


def test_checks_are_findings() -> None:
    found = optbench.check(optimizer="sgd")
    assert found.holds and {one.check for one in found} >= {"faithful", "state_dict"}
    assert "sgd by" in html_of(found) and "all as expected" in repr(found)


SCRIPT = """
import optbench
print("the script runs")
study = optbench.sweep(optimizer=["lion", "adamw"], model="mlp", steps=2, tracker="none", threads=1,
                       trials=1, seeds=1, shortlist=0, results_dir="results")
print(study.problem or "all succeeded")
"""


@pytest.mark.slow
def test_a_plain_script_may_sweep_at_its_top_level(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "plain.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert (done.stdout, done.stderr) == ("the script runs\nall succeeded\n", "")


def test_workers_leave_the_main_module_alone() -> None:
    from multiprocessing.spawn import get_preparation_data

    from optbench.sweeps.executors.fork_server import without_main

    main = sys.modules["__main__"]
    with without_main():
        assert not {"init_main_from_name", "init_main_from_path"} & get_preparation_data("x").keys()
    assert sys.modules["__main__"] is main
