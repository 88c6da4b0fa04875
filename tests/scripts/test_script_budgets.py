"""The budget of a script: only what is known of steps, samples and gradient evaluations is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts_of_users import ATTACH, FINISH, TAKES, rows, run_script
from torch import nn

from optbench.errors import ConfigError
from optbench.records import Record
from optbench.scripts.attach import AttachedRun, alone
from optbench.sweeps.display.live import LiveDisplay
from optbench.sweeps.executors.base import RunProgress, RunStarted
from optbench.sweeps.executors.event_lines import from_line, to_line
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study
from optbench.trackers.console import Console

Call = Callable[..., tuple[int, str, str]]
OWN = "for step in range(1, 31):\n    run.log(step=step, train_loss=1 / step)\n"
MODEL = """import torch
model = torch.nn.Linear(4, 1)
optimizer = run.optimizer(model)
def closure():
    optimizer.zero_grad()
    loss = model(torch.ones(8, 4)).square().sum()
    loss.backward()
    print("evaluated")
    return loss
"""
PRINTS = "import json\nfor n in range(6):\n    print(json.dumps({%r: n, 'acc': 0.5, 'train_loss': 1.0}))\n"
PRINTED = ("script.metric=acc", "script.direction=max")


def test_a_script_that_reads_no_budget_has_its_own_steps_and_no_samples(here: Path) -> None:
    ended = run_script(here, TAKES + OWN + FINISH, "steps=800")
    assert [ended.result[key] for key in ("steps", "gradient_evaluations", "samples")] == [30, 30, None]
    assert ended.result["throughput"]["samples_per_second"] is None
    assert ended.result["unread"] == ["steps", "batch_size"]
    assert {row["samples"] for row in rows(ended)} == {None}
    assert ended.result["notes"] == ["the script never reads run.steps: equal budgets can't be shown"]


@pytest.mark.parametrize(
    ("reads", "samples"), [("run.batch_size\n", 30 * 64), ("run.value('batch_size')\n", 30 * 64), ("", None)]
)
def test_samples_are_known_where_the_batch_size_is_read(here: Path, reads: str, samples: int | None) -> None:
    ended = run_script(here, TAKES + "run.steps\n" + reads + OWN + FINISH)
    assert ended.result["samples"] == samples and rows(ended)[-1]["samples"] == (samples and 20 * 64)
    assert (ended.result["throughput"]["samples_per_second"] is None) == (samples is None)


def test_samples_that_a_script_counts_are_taken(here: Path) -> None:
    ended = run_script(here, TAKES + OWN.replace("train_loss", "samples=7 * step, train_loss") + FINISH)
    assert (ended.result["samples"], rows(ended)[-1]["samples"]) == (210, 140)


def test_a_script_that_logs_nothing_has_no_known_steps(here: Path) -> None:
    ended = run_script(here, TAKES + "run.steps, run.batch_size\n" + FINISH)
    assert [ended.result[key] for key in ("steps", "samples", "gradient_evaluations")] == [None] * 3


@pytest.mark.parametrize(("name", "known"), [("step", 5), ("iteration", 5), ("epoch", None), ("n", None)])
def test_epochs_and_rows_are_no_steps(here: Path, name: str, known: int | None) -> None:
    words = ["script.args='{optimizer.lr} {steps} {batch_size}'", *PRINTED]
    ended = run_script(here, PRINTS % name, *words)
    assert (ended.result["steps"], ended.result["samples"]) == (known, known and known * 64)
    assert {row["gradient_evaluations"] is None for row in rows(ended)} == {known is None}
    assert ended.result["notes"] == (
        [] if known else ["the script names no optimizer steps: its curves are by epoch or row"]
    )
    assert ended.result["unread"] == []


def test_a_schedule_over_the_budget_does_not_mean_that_the_script_goes_by_it() -> None:
    run = AttachedRun(alone({"steps": 10}), None)
    run.schedule(run.optimizer(nn.Linear(2, 2)))
    assert "steps" not in run._used


# -- gradient evaluations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sam", "lbfgs"])
def test_result_and_records_count_every_evaluation(here: Path, name: str) -> None:
    loop = "for step in range(1, run.steps + 1):\n    optimizer.step(closure)\n    run.log(step=step, train_loss=0.5)\n"
    ended = run_script(here, ATTACH + MODEL + loop + FINISH, f"optimizer={name}", "steps=10", "record_every=1")
    assert ended.result["status"] == "completed", ended.result["reason"]
    counted = [row["gradient_evaluations"] for row in rows(ended)]
    calls = (ended.folder / "output.log").read_text().count("evaluated")
    assert ended.result["gradient_evaluations"] == counted[-1] == calls > 10
    assert counted == sorted(set(counted)) and (name != "sam" or calls == 20)


PLAIN = """class Plain:
    def __init__(self, params, lr=0.1):
        self.param_groups = [{"lr": lr, **group} for group in params]
        self.state, self.defaults = {}, {}
    def step(self, closure%s):
        self.loss = closure() if closure else None
        return self.loss
    def zero_grad(self, set_to_none=True): pass
    def state_dict(self): return {}
    def load_state_dict(self, state): pass
"""


@pytest.mark.parametrize(
    "optimizer",
    [
        "./mine.py:Plain",
        "sam lookahead=true",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sam", "lbfgs")),
    ],
)
def test_a_missing_closure_is_one_clear_error(here: Path, optimizer: str) -> None:
    Path("mine.py").write_text(PLAIN % "")
    ended = run_script(
        here, ATTACH + MODEL + "closure()\noptimizer.step()\n" + FINISH, *f"optimizer={optimizer}".split()
    )
    assert ended.result["status"] == "failed"
    assert "evaluates the loss in its step: write optimizer.step(closure)" in ended.result["reason"]
    assert ended.result["reason"].startswith("train.py, line 13: ConfigError: optimizer=")


@pytest.mark.parametrize(("argument", "evaluations"), [("", 1), ("=None", None)])
def test_an_own_optimizer_that_is_no_class_of_torch_steps(here: Path, argument: str, evaluations: int | None) -> None:
    Path("mine.py").write_text(PLAIN % argument)
    run = AttachedRun(alone({"optimizer": "./mine.py:Plain"}), None)
    optimizer = run.optimizer(nn.Linear(2, 2))
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.step(lambda: torch.tensor(0.25)) == 0.25  # type: ignore[arg-type,func-returns-value]
    assert run._evaluations() == evaluations


def test_the_state_of_an_optimizer_with_a_closure_is_its_own() -> None:
    model = nn.Linear(2, 2)
    first, second = (AttachedRun(alone({"optimizer": "sam"}), None).optimizer(model) for _ in "ab")

    def closure() -> torch.Tensor:
        loss = model(torch.ones(1, 2)).sum()
        loss.backward()
        return loss

    first.step(closure)  # type: ignore[arg-type]
    assert first.state_dict()["state"]
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["state"].keys() == first.state_dict()["state"].keys()
    with pytest.raises(ConfigError, match=r"optimizer\.step\(closure\)"):
        second.step()


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_the_progress_bar_has_no_end_where_the_budget_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    run = {"run_id": "r", "metric": "m", "hardware": {"cpu": "c"}}
    for unread in (["steps"], ["batch_size"]):
        console = Console(40, plain_seconds=0.0)
        console.start({**run, "unread": unread})
        console.log(Record(20, None, None, "train", 0.0, 0.0, {"train_loss": 0.5}))  # type: ignore[arg-type]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step")]
    assert lines[0].strip() == "step 20  loss 0.5000"
    assert lines[1].startswith("step 20/40  loss 0.5000  ")


def test_a_sweep_shows_the_step_where_the_share_is_not_known(here: Path) -> None:
    Path("train.py").write_text(TAKES + FINISH)
    study = make_study(["script=./train.py", "optimizer=lion", "steps=100"], {"trials": 2, "seeds": 0}, name="s")
    (cell,) = expand(study)
    live = LiveDisplay({0: 2}, 2, quiet=True)
    for seed, unread in ((1, "steps batch_size"), (2, "")):
        run = cell.run("tune", 0, seed, {})
        live.started(run)
        for event in (RunStarted(run.run_id, "accuracy", "max", None, unread), RunProgress(run.run_id, 30)):
            live.event(run, from_line(to_line(event)))
    assert live.summary().startswith("0/2 done, 2 running (step 30 30%)")


@pytest.fixture
def swept(here: Path, call: Call) -> Callable[[str], dict[str, Any]]:
    """Return a function that sweeps a script and reports: the texts by kind, and report.json."""

    def run(text: str) -> dict[str, Any]:
        Path("train.py").write_text(text)
        words = ["script=./train.py", "optimizer=lion,sam", "steps=100", "tracker=none", "threads=1"]
        code, summary, err = call("sweep", *words, "--trials", "1", "--seeds", "1", "--study", "s")
        assert code == 0, err
        code, terminal, err = call("report", "results/s", "-o", "report")
        assert code == 0, err
        found = {kind: Path(f"report/report.{kind}").read_text() for kind in ("md", "html")}
        tree = json.loads(Path("report/report.json").read_text())
        return {"summary": summary, "terminal": terminal, **found, "json": tree}

    return run


def test_notes_are_caveats_once_with_the_runs_that_have_them(swept: Callable[[str], dict[str, Any]]) -> None:
    found = swept(TAKES + OWN + "run.finish(val_metric=run.value('optimizer.lr'), test_metric=0.5, trivial=0.1)\n")
    sentence = "The script never reads run.steps: equal budgets can't be shown: 2 runs of lion, 2 runs of sam."
    for kind in ("terminal", "md"):
        assert found[kind].count(sentence) == 1, found[kind]
    assert found["html"].count(sentence.replace("'", "&#39;")) == 1
    notes = {note["text"]: note["runs"] for note in found["json"]["notes"]}
    assert notes["the script never reads run.steps: equal budgets can't be shown"] == {"lion": 2, "sam": 2}
    workload = found["json"]["workloads"][0]
    assert (workload["steps"], workload["batch_size"]) == (30, None)
    assert "after 30 steps;" in found["md"] and "100 steps" not in found["md"]
    assert "as many steps a run as the script takes" in found["summary"] and "6,400" not in found["summary"]
    assert {tuple(curve["samples"]) for curve in workload["curves"]} == {()}


def test_a_script_that_reads_the_budget_is_reported_with_it(swept: Callable[[str], dict[str, Any]]) -> None:
    loop = OWN.replace("31", "run.steps + 1")
    found = swept(TAKES + "run.seed\n" + loop + "run.finish(val_metric=run.seed, test_metric=0.5, trivial=0.1)\n")
    workload = found["json"]["workloads"][0]
    assert found["json"]["notes"] == [] and workload["steps"] in (50, 100)  # sam evaluates twice a step
    assert workload["batch_size"] is None and "50 or 100 steps a run" in found["summary"]


def test_a_dry_run_says_what_the_script_is_asked_for(here: Path, call: Call) -> None:
    Path("train.py").write_text(TAKES + FINISH)
    words = ["script=./train.py", "optimizer=lion", "steps=100", "batch_size=8"]
    code, out, _ = call("run", *words, "--dry-run")
    assert code == 0 and "asks the script for 100 steps, batch size 8, seed 0" in out and "800" not in out
    code, out, _ = call("sweep", *words, "--trials", "2", "--dry-run", "--json")
    tree = json.loads(out)
    assert code == 0 and (tree["evaluated_samples"], tree["cells"][0]["evaluated_samples"]) == (None, None)
    code, out, _ = call("sweep", *words, "--trials", "2", "--dry-run")
    assert code == 0 and "steps asked of the script" in out and "samples" not in out
