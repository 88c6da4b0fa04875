"""One run on two ranks: same numbers as on one rank, one writer, failures of ranks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, rows_of, same_records

from optbench import config
from optbench.errors import ConfigError, Interrupted, MissingError, RankLost
from optbench.sessions.execute import FinishedRun
from optbench.sessions.session import Session, execute
from optbench.store import RunFolder

Run = Callable[..., Any]
SHORT = ("steps=8", "eval_every=4", "record_every=2")
COUNTED = ("step", "samples", "tokens", "gradient_evaluations", "split")


@pytest.fixture
def both(tmp_path: Path) -> Run:
    """Run a configuration on one rank and on two."""

    def run(*overrides: str) -> tuple[FinishedRun, FinishedRun]:
        words = [*overrides, "tracker=none", "threads=1", *SHORT]
        return tuple(execute(config.load([*words, f"devices={n}"]), tmp_path / f"on-{n}") for n in (1, 2))

    return run


def assert_alike(one: FinishedRun, two: FinishedRun, tolerance: float = 1e-4) -> None:
    """Assert that the records agree to float tolerance, and that there are enough."""
    assert one.folder.name == two.folder.name
    first, second = same_records(rows_of(one)), same_records(rows_of(two))
    assert len(first) == len(second) == 4 + 2 + 2
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        assert [a.get(key) for key in COUNTED] == [b.get(key) for key in COUNTED]
        for key, value in a.items():
            assert b[key] == (pytest.approx(value, rel=tolerance, abs=tolerance) if key not in COUNTED else value), key
    for key, value in one.result["final"].items():
        assert two.result["final"][key] == pytest.approx(value, rel=tolerance, abs=tolerance), key
    assert two.run["ranks"] == 2
    assert two.run["strategy"] == "ddp"
    assert two.result["throughput"]["flops_per_step"] == one.result["throughput"]["flops_per_step"]


def test_two_ranks_equal_one_with_a_batch_that_does_not_divide_evenly(both: Run) -> None:
    one, two = both("model=mlp", "data=digits", "batch_size=63", "clip=global_norm", "data.augment.mixup=0.4")
    assert_alike(one, two)
    assert two.run["batch_statistics"] is None
    assert two.run["micro_batch"] == 32
    assert (one.run["ranks"], one.run["strategy"]) == (1, None)


def test_two_ranks_equal_one_with_uneven_masks(both: Run) -> None:
    one, two = both("model=bert", "batch_size=5", "model.task.masking=bernoulli", "eval_train_samples=50")
    assert_alike(one, two, 5e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("model=vit", "data=digits", "batch_size=30", "model.drop_path=0"),
        ("model=mlp", "data=digits", "micro_batch=10"),
        ("model=mlp", "data=digits", "optimizer=sam"),
        ("model=mlp", "data=digits", "optimizer=lbfgs"),
        ("model=mlp", "data=digits", "optimizer=adahessian"),
        ("model=mlp", "data=digits", "optimizer=muon"),
        ("model=mlp", "data=digits", "optimizer=psgd_kron"),  # draws what must be the same on every rank
        ("model=mlp", "data=digits", "optimizer=schedulefree", "schedule=constant"),
        ("model=mlp", "data=digits", "precision=bf16"),
        ("model=gpt", "batch_size=4", "eval_train_samples=50"),
        ("model=t5", "batch_size=3", "eval_train_samples=50"),
        ("model=quadratic", "batch_size=7"),
    ],
    ids=lambda overrides: "-".join(overrides[::2]),
)
def test_two_ranks_equal_one(both: Run, overrides: tuple[str, ...]) -> None:
    assert_alike(*both(*overrides), 2e-2 if "precision=bf16" in overrides else 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "measured"),
    [
        (("model=resnet", "data=digits", "model.size=20", "model.width=8"), "train_loss"),
        (("model=wgan_gp", "batch_size=9", "eval_train_samples=64"), "discriminator_train_loss"),
    ],
    ids=["resnet", "wgan_gp"],
)
def test_batch_statistics_are_local_by_default_and_recorded_as_such(
    both: Run, overrides: tuple[str, ...], measured: str
) -> None:
    one, two = both(*overrides)
    assert two.run["batch_statistics"] == "local"
    first, second = (next(row[measured] for row in rows_of(ended) if measured in row) for ended in (one, two))
    assert second == pytest.approx(first, rel=0.05)
    assert second != pytest.approx(first, rel=1e-6)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """Signal rank 0 to stop after a step."""

    def at(step: int) -> None:
        on_step = Session._on_step

        def interrupted(session: Session, trainer: Any) -> None:
            if trainer.progress.step == step and session.resumed_from[-1:] != [step]:
                session.signals.heard = [signal.SIGTERM]
            on_step(session, trainer)

        monkeypatch.setattr(Session, "_on_step", interrupted)

    return at


@pytest.mark.parametrize(
    "numbers",
    [(2, 1), pytest.param((2, 2), marks=pytest.mark.slow), pytest.param((1, 2), marks=pytest.mark.slow)],
    ids=lambda numbers: "-".join(map(str, numbers)),
)
def test_a_run_resumes_on_another_number_of_ranks(tmp_path: Path, stopped: Run, numbers: tuple[int, int]) -> None:
    words = [*QUICK, "batch_size=33", *SHORT]
    loaded = [config.load([*words, f"devices={n}"]) for n in numbers]
    calm = execute(loaded[1], tmp_path / "calm")
    stopped(5)
    with pytest.raises(Interrupted, match="SIGTERM at step 5 of 8") as caught:
        execute(loaded[0], tmp_path / "wild")
    assert caught.value.exit_code == 143
    ended = execute(loaded[1], tmp_path / "wild")
    assert ended.result["resumed_from_steps"] == [5]
    if numbers[0] == numbers[1]:
        assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
        assert same_records(rows_of(ended)) == same_records(rows_of(calm))
    else:
        assert ended.result["weights_sha256"] != calm.result["weights_sha256"]  # it did train on both
        for a, b in zip(rows_of(ended), rows_of(calm), strict=True):
            for key in {"step", "train_loss", "val_loss", "grad_norm"} & b.keys():
                assert a[key] == pytest.approx(b[key], rel=1e-4)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (("devices=2", "batch_size=1"), ConfigError, "batch_size=1 is smaller than the number of ranks, 2"),
        (("devices=5000", "batch_size=5000"), MissingError, "devices=5000: this machine has only"),
        (("devices=2", "strategy=fsdp", "optimizer=lbfgs"), ConfigError, "optimizer=lbfgs cannot be sharded"),
        (("devices=0",), ConfigError, "devices=0"),
        (("devices=2", "strategy=horovod"), ConfigError, "strategy=horovod"),
        (("devices=2", "device=cuda:0"), ConfigError, "device=cuda:0 names one device"),
    ],
)
def test_impossible_settings_are_refused(
    quick_run: Run, overrides: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        quick_run(*overrides)


@pytest.mark.slow
def test_an_optimizer_that_reads_layers_is_refused_on_several_ranks(quick_run: Run) -> None:
    with pytest.raises(ConfigError, match="each of 2 ranks has its own"):
        quick_run("devices=2", "optimizer=kfac")


def test_the_number_of_ranks_does_not_change_the_run_id() -> None:
    ids = {config.load([*QUICK, *words]).run_id for words in ([], ["devices=2"], ["devices=4", "strategy=ddp"])}
    assert len(ids) == 1


LONG = [*QUICK, "steps=1000000", "checkpoint_seconds=0.1", "record_every=50"]
COMMAND = [sys.executable, "-m", "optbench", "run", *LONG]


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command in a new session, and kill what is left of it."""
    processes: list[subprocess.Popen[str]] = []

    def start(words: list[str]) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def await_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 90
    while not list((folder / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 15
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a rank is still running"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_all_ranks_after_the_same_step(tmp_path: Path, started: Run, number: int, code: int) -> None:
    process = started([*COMMAND, "devices=2", "--results-dir", str(tmp_path), "--quiet"])
    folder = tmp_path / "runs" / config.load(LONG).run_id
    await_checkpoint(folder)
    helpers = children(process.pid)
    assert helpers
    os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    assert_gone(helpers)
    file = sorted((folder / "checkpoints").glob("step-*.pt"))[-1]
    assert f"at step {torch.load(file)['trainer']['progress']['step']} of" in err


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "strategy"), [("helper", "ddp"), ("first", "ddp"), ("helper", "fsdp")])
def test_a_killed_rank_ends_the_others_and_the_run_resumes(
    tmp_path: Path, started: Run, victim: str, strategy: str
) -> None:
    words = [*COMMAND, "devices=2", f"strategy={strategy}", "--results-dir", str(tmp_path), "--quiet"]
    process = started(words)
    folder = RunFolder(tmp_path, "runs", config.load(LONG).run_id)
    await_checkpoint(folder.path)
    (helper,) = children(process.pid)
    os.kill(helper if victim == "helper" else process.pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert_gone([helper])
    assert folder.result() is None
    if victim == "helper":
        assert process.returncode == RankLost.exit_code
        assert err.strip().splitlines()[0] == "optbench: rank 1 of 2 was ended by SIGKILL"
        assert len(err.strip().splitlines()) == 2
    again = started([*words[:-1], "--json"])  # --quiet would hide that it resumes
    deadline = time.monotonic() + 90
    while "resumed" not in again.stderr.readline():
        assert time.monotonic() < deadline


@pytest.mark.slow
def test_an_error_on_a_helper_is_the_runs_result(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "import os, torch\n"
        "class Failing(torch.optim.SGD):\n"
        "    steps = 0\n"
        "    def step(self, closure=None):\n"
        "        self.steps += 1\n"
        "        if self.steps == 3 and torch.distributed.get_rank() == 1:\n"
        "            raise ValueError('a rank of its own mind')\n"
        "        return super().step()\n"
    )
    words = [*QUICK, *SHORT, f"optimizer={tmp_path}/failing.py:Failing", "optimizer.lr=0.1", "devices=2"]
    ended = execute(config.load(words), tmp_path)
    assert ended.result["status"] == "failed"
    assert "rank 1: ValueError: a rank of its own mind" in ended.result["reason"]


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "optbench"]


@pytest.mark.slow
def test_torchrun_prints_once_and_equals_devices_2(tmp_path: Path) -> None:
    words = [*QUICK, *SHORT]
    command = [*TORCHRUN, "run", *words, "--results-dir", str(tmp_path / "torchrun"), "--json"]
    for _ in range(2):  # the second finds that it has ended
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
    local = execute(config.load([*words, "devices=2"]), tmp_path / "local")
    assert result["weights_sha256"] == local.result["weights_sha256"]
    refused = subprocess.run([*command, "devices=3", "--force"], capture_output=True, text=True, timeout=120)
    assert refused.stderr.count("optbench: devices=3: torchrun started 2 ranks") == 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_torchrun_restarts_a_killed_rank_from_the_checkpoint(tmp_path: Path, started: Run, strategy: str) -> None:
    words = [*TORCHRUN[:4], "--max-restarts", "1", *TORCHRUN[4:], "run", *LONG, "--results-dir", str(tmp_path)]
    agent = started([*words, f"strategy={strategy}", "--quiet"])
    folder = RunFolder(tmp_path, "runs", config.load(LONG).run_id)
    await_checkpoint(folder.path)
    began = folder.run()["started_at"]
    os.kill(children(agent.pid)[1], signal.SIGKILL)
    deadline = time.monotonic() + 120
    while folder.run()["started_at"] == began:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (file, *_) = (folder.path / "checkpoints").glob("step-*")
    assert int(file.stem.split("-")[1]) > 0
    os.kill(agent.pid, signal.SIGTERM)
    agent.communicate(timeout=60)


@pytest.mark.slow
def test_ranks_with_different_runs_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "mismatched.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from optbench import config\n"
        "from optbench.errors import OptbenchError\n"
        "from optbench.sessions.session import execute\n"
        f"words = {[*QUICK, *SHORT]!r}\n"
        "try:\n"
        "    execute(config.load([*words, 'seed=' + os.environ['RANK']]), Path(sys.argv[1]))\n"
        "except OptbenchError as error:\n"
        "    print(os.environ['RANK'], error.exit_code, error, flush=True)\n"
    )
    command = [*TORCHRUN[:-2], str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "0 2 run of rank 1 is mlp-digits-adamw-s1-" in done.stdout
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/result.json"))
