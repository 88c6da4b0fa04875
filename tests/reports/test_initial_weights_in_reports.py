"""Runs that start from other weights are other workloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optbench import config
from optbench.config import Variation
from optbench.config.composition import Composition
from optbench.reports.read.reading import read
from optbench.sessions.execute import FinishedRun
from tests.conftest import QUICK, Call

Run = Callable[..., FinishedRun]


def workloads(root: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for run in read(root).runs:
        found.setdefault(run["workload"], set()).add(run["contender"])
    return found


def test_pretraining_and_fine_tuning_are_workloads_of_their_own(quick_run: Run, tmp_path: Path, call: Call) -> None:
    words = ("steps=3", "eval_train_samples=8")
    first = [quick_run(*words, f"optimizer={name}", study="pre").run["run_id"] for name in ("adamw", "lion")]
    for name in ("adamw", "lion"):
        for init in first:
            quick_run(*words, f"optimizer={name}", f"init={init}", study="tune")
        quick_run(*words, f"optimizer={name}", f"init={first[0]}", "freeze=[bias]", study="tune")
    both = {"adamw", "lion"}
    expected = {
        "mlp-digits",
        *(f"mlp-digits init={init}" for init in first),
        f"mlp-digits init={first[0]} freeze=[bias]",
    }
    assert workloads(tmp_path / "results") == dict.fromkeys(expected, both)
    code, out, _ = call("compare", "adamw", "lion", tmp_path / "results" / "tune")
    assert code == 0
    assert all(f"mlp-digits init={init}" in out for init in first)
    code, out, err = call("merge", tmp_path / "results" / "tune", "-o", tmp_path / "merged")
    assert (code, workloads(tmp_path / "merged") == workloads(tmp_path / "results" / "tune")) == (0, True), out + err


def test_files_are_named_shortly_and_told_apart_by_their_content(quick_run: Run, tmp_path: Path) -> None:
    before = quick_run("steps=1", study="pre")
    (checkpoint,) = (before.folder / "checkpoints").iterdir()
    state = torch.load(checkpoint, weights_only=True)["trainer"]["players"]["model"]["module"]
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        torch.save({name: number * tensor for name, tensor in state.items()}, tmp_path / str(number) / "w.pt")
        quick_run("steps=2", f"init='{tmp_path / str(number) / 'w.pt'}'", study="tune")
    quick_run("steps=2", f"init='{checkpoint}'", study="tune")
    names = sorted(workloads(tmp_path / "results" / "tune"))
    assert [name.partition(" @ ")[0] for name in names[1:]] == ["mlp-digits init=w.pt"] * 2
    assert names[0] == f"mlp-digits init={before.run['run_id']}"
    assert len(set(names)) == 3


def test_weights_of_their_own_for_each_seed_are_one_workload(
    quick_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        before = quick_run("steps=1", f"seed={seed}", study="pre")
        (checkpoint,) = (before.folder / "checkpoints").iterdir()
        (tmp_path / f"w-{seed}.pt").write_bytes(checkpoint.read_bytes())
    words = ("steps=2", "init=w-${seed}.pt")
    shas = [quick_run(*words, f"seed={seed}", study="tune").run["init"]["sha256"] for seed in (0, 1)]
    assert shas[0] != shas[1]
    assert list(workloads(tmp_path / "results" / "tune")) == ["mlp-digits init=w-${seed}.pt"]
    quick_run("steps=2", "init=w-$\\{seed\\}.pt", "seed=1", "optimizer=lion", study="tune")  # as a sweep's list has it
    assert workloads(tmp_path / "results" / "tune") == {"mlp-digits init=w-${seed}.pt": {"adamw", "lion"}}
    variation = Variation(Composition([*QUICK, *words], None))  # as a sweep plans its runs
    assert [variation.at({"seed": seed}).init for seed in (0, 1)] == ["w-0.pt", "w-1.pt"]
    assert variation.at({"seed": 1}).run_id == config.load([*QUICK, *words, "seed=1"]).run_id
