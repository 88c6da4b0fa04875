"""Checkpoints that cannot be used: they are left out with a notice, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Call, rows_of, same_records

from optbench import config
from optbench.errors import Interrupted
from optbench.sessions.execute import FinishedRun
from optbench.sessions.session import Session, execute

WORDS = [*QUICK, "steps=10", "record_every=2", "eval_every=5", "checkpoint_seconds=0"]
WAYS = {"one": [], "ranks": ["devices=2"], "sharded": ["devices=2", "strategy=fsdp"]}


def interrupted(words: list[str], root: Path, monkeypatch: pytest.MonkeyPatch, step: int = 6) -> list[Path]:
    """Interrupt a run after a step; return its checkpoints, oldest first."""
    on_step = Session._on_step

    def stop(session: Session, trainer: Any) -> None:
        if trainer.progress.step == step:
            session.signals.heard = [15]
        on_step(session, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_on_step", stop)
        with pytest.raises(Interrupted):
            execute(config.load(words), root)
    return sorted((root / "runs" / config.load(words).run_id / "checkpoints").iterdir())


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return a function that changes the content of a checkpoint, as one of an earlier version without checksum."""

    def rewrite(path: Path) -> None:
        file = path / "rest.pt" if path.is_dir() else path
        state = torch.load(file, weights_only=True)
        change(state)
        torch.save(state, file)
        path.rename(path.with_name(path.name.partition("-")[0] + f"-{path.name.split('-')[1]}{path.suffix}"))

    return rewrite


def wrong_shape(state: dict[str, Any]) -> None:
    module = state["trainer"]["players"]["model"]["module"]
    key, value = next(iter(module.items()))
    module[key] = {**value, "shape": [3, 3]} if isinstance(value, dict) else torch.zeros(3, 3)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "shape": (rewritten(wrong_shape), "it cannot be loaded"),
    "weights": (rewritten(lambda s: s["trainer"]["players"]["model"].pop("module")), "cannot be loaded (KeyError"),
    "optimizer": (rewritten(lambda s: s["trainer"]["players"]["model"].update(optimizer={})), "cannot be loaded"),
    "progress": (rewritten(lambda s: s["trainer"]["progress"].update(more=1)), "cannot be loaded (TypeError"),
    "random": (rewritten(lambda s: s["trainer"].update(random={})), "it cannot be loaded"),
    "schema": (rewritten(lambda s: s.update(schema=99)), "its schema is not 1"),
    "field": (rewritten(lambda s: s.pop("resumed_from_steps")), "'resumed_from_steps' is missing"),
    "run": (rewritten(lambda s: s.update(run_id="other")), "it belongs to the run other"),
    "torn": (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "does not have the SHA-256"),
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return execute(config.load(WORDS), tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize("name", CHANGES)
def test_an_unusable_checkpoint_is_left_out_and_the_one_before_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, calm: FinishedRun, name: str
) -> None:
    change, why = CHANGES[name]
    _, last = interrupted(WORDS, tmp_path, monkeypatch)
    change(last)
    ended = execute(config.load(WORDS), tmp_path)
    (notice,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert last.name[:14] in notice and why in notice
    assert ended.result["resumed_from_steps"] == [5]
    assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
    assert same_records(rows_of(ended)) == same_records(rows_of(calm))


@pytest.mark.parametrize(
    ("way", "name"),
    [
        ("one", "optimizer"),
        ("one", "schema"),
        pytest.param("ranks", "shape", marks=pytest.mark.slow),
        ("sharded", "shape"),
    ],
)
def test_without_a_usable_checkpoint_the_run_starts_over_and_its_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str, name: str
) -> None:
    words = [*WORDS, *WAYS[way]]
    for checkpoint in interrupted(words, tmp_path, monkeypatch):
        CHANGES[name][0](checkpoint)
    ended = execute(config.load(words), tmp_path)
    (*left_out, over) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len([notice for notice in left_out if CHANGES[name][1] in notice]) == 2
    (aside,) = (tmp_path / "runs" / ".replaced").iterdir()
    assert f"starts over at step 0; its earlier files are kept in {aside}" in over
    assert len(list((aside / "checkpoints").iterdir())) == 2
    assert (ended.result["status"], ended.result["resumed_from_steps"]) == ("completed", [])
    assert [row["step"] for row in rows_of(ended)] == [2, 4, 5, 6, 8, 10, 10, 10, 10]


def test_a_checkpoint_of_another_run_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, calm: FinishedRun
) -> None:
    (_, other) = interrupted([*WORDS, "seed=7"], tmp_path, monkeypatch)
    (_, last) = interrupted(WORDS, tmp_path, monkeypatch)
    shutil.copy(other, last.with_name(other.name.replace("000000006", "000000009")))
    ended = execute(config.load(WORDS), tmp_path)
    assert any("step-000000009" in text and "it belongs to the run" in text for text in caplog.messages)
    assert ended.result["weights_sha256"] == calm.result["weights_sha256"]


def test_force_starts_an_open_run_over_and_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call, calm: FinishedRun
) -> None:
    """As the message about changed data advises."""
    for checkpoint in interrupted(WORDS, tmp_path, monkeypatch):
        rewritten(lambda state: state.update(data_sha256="other"))(checkpoint)
    command = ("run", *WORDS, "--results-dir", tmp_path, "--json")
    code, _, err = call(*command)
    assert code == 2
    assert "the data changed since its checkpoint was written" in err and "Start over with --force" in err
    code, out, err = call(*command, "--force")
    assert code == 0, err
    result = json.loads(out)
    assert (result["resumed_from_steps"], result["weights_sha256"]) == ([], calm.result["weights_sha256"])
    (aside,) = (tmp_path / "runs" / ".replaced").iterdir()
    assert len(list((aside / "checkpoints").iterdir())) == 2
