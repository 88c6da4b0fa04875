"""Shared fixtures: a clean environment, and runs made in this process."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from optbench import config
from optbench.cli.app import main
from optbench.config import RunConfig
from optbench.errors import Interrupted
from optbench.sessions.execute import FinishedRun
from optbench.sessions.session import Session, execute

QUICK = ("model=mlp", "data=digits", "tracker=none", "threads=1")
KEPT = ("OPTBENCH_DATA_DIR", "OPTBENCH_CACHE_DIR")
settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")
VOLATILE = {"train_seconds", "wall_seconds", "samples_per_second", "tokens_per_second", "resident_bytes"}
VOLATILE |= {"step_ms_median", "step_ms_p95"}


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell ignores Ctrl-C for what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def token_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Text is tokenised once for all tests, into a folder of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, token_cache: None) -> None:
    """No setting of the person who runs the tests reaches them; their data folder and the tests' own cache do."""
    for name in list(os.environ):
        if name.startswith(("OPTBENCH_", "WANDB_")) and name not in KEPT:
            monkeypatch.delenv(name)
    logger = logging.getLogger("optbench")
    monkeypatch.setattr(logger, "handlers", [])  # `main` in this process adds one
    monkeypatch.setattr(logger, "level", logging.INFO)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the working folder, and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def quick_run(tmp_path: Path) -> Callable[..., FinishedRun]:
    """Run an MLP on digits, with further overrides, in a results folder of the test."""

    def run(*overrides: str, **options: Any) -> FinishedRun:
        return execute(config.load([*QUICK, *overrides]), tmp_path / "results", **options)

    return run


Twice = Callable[..., tuple[FinishedRun, FinishedRun]]


@pytest.fixture
def twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Twice:
    """Run a configuration undisturbed, then again, ended by a signal after each of `steps` and resumed; what both came
    to must be the same, bit for bit, and is returned."""

    def run(loaded: RunConfig, *steps: int) -> tuple[FinishedRun, FinishedRun]:
        calm = execute(loaded, tmp_path / "calm")
        on_step = Session._on_step

        def interrupted(session: Session, trainer: Any) -> None:
            if trainer.progress.step in steps and session.resumed_from[-1:] != [trainer.progress.step]:
                session.signals.heard = [signal.SIGTERM]
            on_step(session, trainer)

        with monkeypatch.context() as patch:
            patch.setattr(Session, "_on_step", interrupted)
            for step in steps:
                with pytest.raises(Interrupted, match=f"at step {step} of") as caught:
                    execute(loaded, tmp_path / "wild")
                assert caught.value.exit_code == 143
            ended = execute(loaded, tmp_path / "wild")
        assert ended.result["resumed_from_steps"] == list(steps)
        assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
        assert ended.result["final"] == calm.result["final"]
        assert same_records(rows_of(ended)) == same_records(rows_of(calm))
        return calm, ended

    return run


def rows_of(ended: FinishedRun) -> list[dict[str, Any]]:
    """The records of a run."""
    return [json.loads(line) for line in (ended.folder / "metrics.jsonl").read_text().splitlines()]


def same_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without what may differ between two runs of one configuration: times and memory."""
    return [{key: value for key, value in row.items() if key not in VOLATILE} for row in rows]


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process: its words to (exit code, stdout, stderr)."""

    def called(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return called
