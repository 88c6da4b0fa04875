"""The command line as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, Call

from optbench import __version__
from optbench.cli.app import main
from optbench.cli.commands import COMMANDS, GROUPS, functions


def optbench(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "optbench", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_run_ends_with_a_summary_and_json_is_alone_on_stdout(tmp_path: Path) -> None:
    done = optbench("run", *QUICK, "steps=20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout
    assert "results" in done.stdout
    again = optbench("run", *QUICK, "steps=20", "--json", cwd=tmp_path)
    assert again.returncode == 0
    assert answer(again)["status"] == "completed"
    assert "already finished" in again.stderr
    assert Path(tmp_path / answer(again)["folder"] / "result.json").exists()


def test_a_run_that_diverges_exits_3(tmp_path: Path) -> None:
    done = optbench("run", *QUICK, "optimizer=sgd", "optimizer.lr=1e20", "steps=50", "--json", cwd=tmp_path)
    assert done.returncode == 3
    first = json.JSONDecoder().raw_decode(done.stdout)[0]
    assert first["status"] == "diverged"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "optimizer=lionn"], 2, "Did you mean optimizer=lion?"),
        (["run", "seed=1,2"], 2, "optbench sweep seed=1,2"),
        (["run", "--study", "a/b"], 2, "plain folder name"),
        (["run", "device=cuda:99"], 4, "no such device on this machine"),
        (["run", "device=tpu"], 2, "device=tpu: unknown device"),
        (["run", "--config-dir", "nowhere"], 2, "no such folder"),
        (["run", "--resluts-dir", "x"], 2, "--results-dir"),
        (["rnu"], 2, "run"),
        (["list", "optimisers"], 2, "Known: optimizers"),
        (
            ["bench", "nothing"],
            2,
            "Choose from chaos, fit, input, load, loop, pack, ranks, report, scaling, script, step, "
            "strangers, sweep_jobs, sweep_kills, sweep_overhead, sweep_skip, verdicts, workloads",
        ),
        (["data", "verify", "nothing"], 2, "there is no data 'nothing'"),
        (["show", "optimizer.lrr=3"], 2, "Did you mean optimizer.lr?"),
    ],
)
def test_mistakes_give_one_clear_error(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTBENCH_DATA_DIR", str(tmp_path))
    found, _, err = call(*arguments)  # an exception that is no OptbenchError would end the test
    assert found == code, err
    assert words in err
    assert list(tmp_path.iterdir()) == [] or arguments[1] != "optimizer=lionn"


def test_json_errors_are_json(tmp_path: Path) -> None:
    done = optbench("run", "optimizer=lionn", "--json", cwd=tmp_path)
    assert answer(done) == {
        "error": "optimizer=lionn: there is no optimizer 'lionn'",
        "hint": "Did you mean optimizer=lion?",
        "exit_code": 2,
    }


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in optbench("run", "optimizer=lionn", "--debug", cwd=tmp_path).stderr


def test_dry_run_leaves_nothing(tmp_path: Path) -> None:
    done = optbench("run", *QUICK, "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert answer(done)["config"]["model"]["name"] == "mlp"
    assert list(tmp_path.iterdir()) == []


def test_show_gives_origins_and_the_decay_rule(tmp_path: Path) -> None:
    shown = answer(optbench("show", "optimizer=lion", "optimizer.lr=0.5", "--json", cwd=tmp_path))
    origins = {row["key"]: row["origin"] for row in shown["values"]}
    assert origins["optimizer.lr"] == "override optimizer.lr=0.5"
    assert origins["optimizer.betas"] == "conf/optimizer/lion.yaml"
    assert shown["weight_decay"]["spared"] == ["bias", "norm"]
    people = optbench("show", "model=mlp", "--parameters", cwd=tmp_path)
    assert "spared: bias, norm" in people.stdout
    assert "head" in people.stdout


def test_lists(tmp_path: Path) -> None:
    everything = answer(optbench("list", "--json", cwd=tmp_path))
    assert {"lion", "adamw", "sgd"} <= {row["name"] for row in everything["optimizers"]}
    assert all(row["about"] for rows in everything.values() for row in rows)
    columns = optbench("list", "columns", cwd=tmp_path).stdout
    assert "gradient_evaluations" in columns
    sets = answer(optbench("data", "list", "--json", cwd=tmp_path, OPTBENCH_DATA_DIR=str(tmp_path)))
    assert {"digits", "cifar10"} <= {row["name"] for row in sets}


def test_absent_data_exits_4_and_says_what_would_help(tmp_path: Path) -> None:
    done = optbench(
        "run", "model=mlp", "data=cifar10", "tracker=none", cwd=tmp_path, OPTBENCH_DATA_DIR=str(tmp_path / "none")
    )
    assert done.returncode == 4
    assert "optbench data get cifar10" in done.stderr
    assert "Traceback" not in done.stderr


def test_version(tmp_path: Path) -> None:
    assert optbench("--version", cwd=tmp_path).stdout.strip() == __version__


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in GROUPS])
def test_the_help_of_a_command_begins_with_its_line_in_the_list(name: str) -> None:
    targets, line = COMMANDS[name]
    (function,) = functions(targets)
    assert function.__doc__.startswith(line.rstrip("."))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["run", "--optimizer", "lion"], "optimizer=lion"),
        (["sweep", "--steps=10"], "steps=10"),
        (["run", "model=mlp", "--lr=3e-3"], "optimizer.lr=3e-3"),
        (["show", "--model.size", "--json"], "model.size=VALUE"),
        (["run", "--nonsense", "3"], ""),
        (["report", "--optimizer", "lion"], ""),
    ],
)
def test_a_setting_with_dashes_is_understood(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and "No such option" in error
    assert error.endswith(f"Settings have no dashes: {meant}\n") if meant else "Settings" not in error


def test_without_a_command_three_are_shown_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("  optbench ") == 3
