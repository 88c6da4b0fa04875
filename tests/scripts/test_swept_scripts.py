"""Scripts on the command line: their arguments, sweeps, reports, trust, and what a dry run says."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripts_of_users import FINISH, TAKES

from optbench.cli import app
from optbench.config import load

Call = Callable[..., tuple[int, str, str]]
BOWL = TAKES + "lr = run.value('optimizer.lr')\nscore = 1 - abs(lr - 0.01) - run.seed % 7 / 1000\n"
STEPS = "for step in range(1, run.steps + 1):\n    run.log(step=step, train_loss=1 / step)\n"
EVALUATES = "    if step % 5 == 0: run.log(step=step, val_metric=score * step / run.steps)\n"
SWEPT = BOWL + STEPS + EVALUATES + "run.finish(val_metric=score, test_metric=score, trivial=0.1)\n"
UNTOUCHED = """import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--opt")
parser.add_argument("--seed", type=int)
args = parser.parse_args()
print(json.dumps({"step": 1, "accuracy": 0.5}))
print(json.dumps({"step": 2, "accuracy": 0.9 - args.lr, "test": 0.25}))
"""
ARGS = "script.args=--lr {optimizer.lr} --opt {optimizer.name} --seed {seed}"


@pytest.fixture
def call(here: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command in an empty folder with a script: its exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main(list(words))
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


def test_words_after_two_dashes_are_the_arguments_of_the_script(call: Call) -> None:
    Path("train.py").write_text(TAKES + "import sys\nprint(sys.argv[1:])\n" + FINISH)
    words = ["run", "script=./train.py", "optimizer=lion", "tracker=none"]
    odd = ["--epochs", "3", "a b", "it's", 'a"b', "$HOME", "x=1,2", "[1]", "--lr={optimizer.lr}", "{{}}", ""]
    code, _, err = call(*words, "--", *odd)
    assert code == 0, err
    expected = [word.replace("{optimizer.lr}", "0.0003").replace("{{}}", "{}") for word in odd]
    assert next(Path("results/runs").glob("*/output.log")).read_text().strip() == str(expected)
    assert str(expected) in err  # `run` shows what the script prints
    assert call(*words, "script.args=--x", "--", "--y")[0] == 2
    assert call("run", "optimizer=lion", "--", "--epochs")[0] == 2


@pytest.mark.parametrize("command", ["./train.py", "train", "python train.py", "sub/train.py", "bash train.sh"])
def test_a_script_is_a_file_a_module_or_any_command(call: Call, command: str) -> None:
    Path("sub").mkdir()
    for file in ("train.py", "sub/train.py"):
        Path(file).write_text(TAKES + FINISH)
    Path("train.sh").write_text(f"exec {sys.executable} train.py\n")
    code, out, err = call("run", f"script={command}", "script.direction=max", "tracker=none", "--json", "-q")
    assert code == 0, err
    assert json.loads(out)["run_id"].startswith("train-script-adamw-s0-")


def test_the_content_of_a_script_is_its_identity_and_not_its_place(here: Path) -> None:
    Path("train.py").write_text("import helper\n" + TAKES)
    Path("helper.py").write_text("x = 1\n")
    Path("a.yaml").write_text("x: 1\n")

    def identity(*words: str) -> str:
        return load(["script=./train.py", *words]).run_id

    first, with_file = identity(), identity("script.args=--config=a.yaml")
    Path("a.yaml").write_text("x: 2\n")
    assert (identity(), identity("script.args=--config=a.yaml") == with_file) == (first, False)
    Path("helper.py").write_text("x = 2\n")
    assert identity() != first
    shutil.copytree(here, here / "moved", ignore=shutil.ignore_patterns("moved"))
    assert load(["script=./moved/train.py"]).run_id == identity()
    assert identity("script.patience_seconds=3") == identity()
    assert identity("script.args=--x") != identity()


def test_an_untouched_script_is_swept_by_its_arguments(call: Call) -> None:
    Path("train.py").write_text(UNTOUCHED)
    words = ["script=./train.py", ARGS, "script.metric=accuracy", "script.direction=max", "tracker=none"]
    code, out, err = call("run", *words, "optimizer=lion", "optimizer.lr=0.1", "script.test_metric=test", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["final"]["val_metric"], result["final"]["test_metric"]) == (0.8, 0.25)
    assert result["best"] == {"step": 2, "val_metric": 0.8}
    assert result["seconds"]["other"] == pytest.approx(result["wall_seconds"])
    assert result["wall_seconds"] > 0


@pytest.mark.slow
def test_a_study_of_a_script_is_tuned_pruned_and_reported(call: Call) -> None:
    Path("train.py").write_text(SWEPT)
    words = ["script=./train.py", "optimizer=lion,adamw", "steps=20", "record_every=5", "tracker=none", "threads=1"]
    options = ["--trials", "4", "--seeds", "3", "--shortlist", "2", "--study", "s", "--pruner", "median", "--json"]
    code, out, err = call("sweep", *words, *options, "--jobs", "2")
    assert code == 0, err
    tree = json.loads(out)
    assert {cell["metric"] for cell in tree["cells"]} == {"accuracy"}
    assert all(cell["final"]["n"] == 3 for cell in tree["cells"]) if "final" in tree["cells"][0] else True
    code, out, err = call("report", "results/s", "-o", "report", "--json")
    assert code == 0, err
    report = Path("report/report.md").read_text()
    assert "accuracy" in report
    assert "not trained" not in report
    code, out, err = call("compare", "lion", "adamw", "results/s", "--json")
    assert code in (0, 3), err


def test_a_dry_run_starts_nothing_and_says_what_would_be_started(call: Call) -> None:
    Path("train.py").write_text("open('started', 'w')\n" + TAKES + FINISH)
    words = ["script=./train.py", "optimizer=lion", "tracker=none", "script.args=--lr {optimizer.lr}"]
    code, out, err = call("run", *words, "--dry-run")
    assert (code, f"{Path(sys.executable)} ./train.py --lr 0.0003" in out) == (0, True), out + err
    code, out, err = call("sweep", *words, "--trials", "2", "--seeds", "2", "--dry-run", "--json")
    assert code == 0, err
    plan: dict[str, Any] = json.loads(out)
    assert (plan["runs"]["planned"], plan["cells"][0]["run_seconds"]) == (4, None)
    code, out, err = call("sweep", *words, "--trials", "2", "--seeds", "2", "--dry-run")
    assert (code, "unknown" in out) == (0, True), out + err
    assert not Path("started").exists()
    assert not Path("results").exists()


def test_a_study_file_with_a_script_asks_for_trust(call: Call, monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(here / "cache"))
    monkeypatch.setenv("HOME", str(here))
    Path("train.sh").write_text("touch started\n")
    study = {"overrides": ["script=bash train.sh {optimizer.lr}", "script.direction=max", "optimizer=lion"], "seeds": 1}
    Path("study.yaml").write_text(json.dumps(study))
    code, _, err = call("sweep", "study.yaml", "tracker=none")
    assert code == 2
    assert "--trust" in err
    assert not Path("started").exists()


@pytest.mark.parametrize("typed", ["optimizer.lrr", "lr", "x"])
@pytest.mark.parametrize("dry", [True, False], ids=["placeholder", "value"])
def test_an_unknown_key_names_the_nearest_alone(call: Call, typed: str, dry: bool) -> None:
    Path("train.py").write_text(TAKES + f"run.value({typed!r})\n")
    words = ["--dry-run", f"script.args={{{typed}}}"] if dry else []
    code, _, err = call("run", "script=./train.py", "tracker=none", *words)
    hint = err[err.index("there is no") : err.index("lists every key")].replace("{", "").replace("}", "")
    assert code and ("Did you mean optimizer.lr?" in hint) == (typed != "x")
    assert "optbench show script=" in hint and len(hint) < 200


def test_show_says_where_the_settings_of_a_script_come_from(call: Call) -> None:
    Path("helper.py").write_text("import optbench\n\ndef start():\n    return optbench.attach(metric='f1')\n")
    Path("train.py").write_text("import helper\nrun = helper.start()\n")
    code, out, err = call("show", "script=./train.py", "script.direction=max", "--json")
    assert code == 0, err
    assert "asked for steps, batch_size and seed" in json.loads(out)["note"]
    assert "asked for steps" in call("show", "script=./train.py", "script.direction=max")[1]
    assert "asked for steps" not in call("show", "optimizer=lion")[1]
    origins = {row["key"]: row["origin"] for row in json.loads(out)["values"]}
    assert origins["model.name"] == origins["model.command"] == origins["data.name"] == "override script=./train.py"
    assert origins["model.metric"] == "attach() in helper.py"
    assert origins["model.direction"] == "override script.direction=max"
    assert origins["model.read"] == origins["model.args"] == "default of a training script"
