"""optuna.journal: what Optuna's own tools see of a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from optbench.cli import app
from optbench.sweeps.display.optuna_mirror import FILE, OptunaMirror

LR = {"key": "optimizer.lr", "low": 1e-4, "high": 1e-1, "log": True, "integer": False, "values": ()}
K = {"key": "lookahead.k", "low": 1.0, "high": 8.0, "log": False, "integer": True, "values": ()}
BATCH = {"key": "clip.max_norm", "low": None, "high": None, "log": False, "integer": False, "values": (0.5, 1, 2)}


def trial(number: int, state: str = "done", value: float | None = None, **values: Any) -> dict[str, Any]:
    found = {"optimizer.lr": 1e-3 * (number + 1), "lookahead.k": 3, "clip.max_norm": 1, **values}
    return {"trial": number, "state": state, "value": value, "values": found, "runs": [f"run-{number}"]}


def tree(*trials: dict[str, Any], direction: str | None = "min") -> dict[str, Any]:
    cell = {"label": "lion", "metric": "loss", "direction": direction, "dimensions": [LR, K, BATCH]}
    return {"study": "s", "cells": [{**cell, "trials": list(trials)}]}


@pytest.fixture
def mirror(tmp_path: Path) -> OptunaMirror:
    return OptunaMirror(tmp_path)


def kept(folder: Path) -> dict[str, optuna.Study]:
    """Return the studies of a journal, as Optuna reads them."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    storage = JournalStorage(JournalFileBackend(str(folder / FILE)))
    names = optuna.get_all_study_names(storage)
    studies = {name: optuna.load_study(study_name=name, storage=storage) for name in names}
    optuna.logging.set_verbosity(level)
    return studies


def test_trials_have_their_distributions(
    mirror: OptunaMirror, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror.update(tree(trial(0, value=0.5), trial(1, "pruned"), trial(2, "failed"), trial(3, "open")), True)
    assert caplog.messages == []
    study = kept(tmp_path)["s/lion"]
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert study.best_value == 0.5
    assert study.best_params == {"optimizer.lr": 1e-3, "lookahead.k": 3, "clip.max_norm": 1}
    found = study.trials[0].distributions
    assert found["optimizer.lr"] == optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)
    assert found["lookahead.k"] == optuna.distributions.IntDistribution(1, 8)
    assert found["clip.max_norm"] == optuna.distributions.CategoricalDistribution((0.5, 1, 2))


def test_only_new_trials_are_written_by_this_session_and_the_next(
    mirror: OptunaMirror, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror.update(tree(trial(0, value=0.5)), True)
    size = (tmp_path / FILE).stat().st_size
    mirror.update(tree(trial(0, value=0.5), trial(1, "open")), True)
    OptunaMirror(tmp_path).update(tree(trial(0, value=0.5), trial(1, "open")), True)
    assert (tmp_path / FILE).stat().st_size == size
    OptunaMirror(tmp_path).update(tree(trial(0, value=0.5), trial(1, value=0.25)), True)
    mirror.update(tree(trial(0, value=0.5), trial(1, value=0.25)), False)  # a moment ago: not yet again
    assert [t.value for t in kept(tmp_path)["s/lion"].trials] == [0.5, 0.25]
    assert caplog.messages == []


def test_a_pruned_trial_that_finished_later_is_rewritten(mirror: OptunaMirror, tmp_path: Path) -> None:
    mirror.update(tree(trial(0, "pruned"), trial(1, value=0.5)), True)
    mirror.update(tree(trial(0, value=0.75), trial(1, value=0.5)), True)
    assert sorted(t.value for t in kept(tmp_path)["s/lion"].trials) == [0.5, 0.75]


def test_a_value_that_was_rounded_out_of_its_interval_is_kept(
    mirror: OptunaMirror, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror.update(tree(trial(0, value=0.5, **{"optimizer.lr": 0.1001})), True)
    assert caplog.messages == []
    assert kept(tmp_path)["s/lion"].best_params["optimizer.lr"] == 0.1001


def test_a_damaged_journal_is_replaced(mirror: OptunaMirror, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirror.update(tree(trial(0, value=0.5)), True)
    with open(tmp_path / FILE, "a", encoding="utf-8") as journal:
        journal.write('{"op_code": 4, "wor\n{"op_code": 4, "wor\n')
    OptunaMirror(tmp_path).update(tree(trial(0, value=0.5), trial(1, value=0.7)), True)
    assert caplog.messages == []
    assert [t.value for t in kept(tmp_path)["s/lion"].trials] == [0.5, 0.7]


def test_a_failed_write_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).mkdir()  # a folder in the place of the file
    mirror = OptunaMirror(tmp_path)
    for _ in range(3):
        mirror.update(tree(trial(0, value=0.5)), True)
    assert len(caplog.messages) == 1
    assert str(tmp_path / FILE) in caplog.messages[0]


def test_nothing_is_written_without_a_measurement(mirror: OptunaMirror, tmp_path: Path) -> None:
    mirror.update(tree(trial(0, "open")), True)
    mirror.update(tree(trial(0, "failed"), direction=None), True)
    assert kept(tmp_path) == {}


def test_a_sweep_leaves_a_journal_and_one_that_runs_nothing_does_not_load_optuna(tmp_path: Path) -> None:
    asked = ["optimizer=lion,adamw", "model=quadratic", "steps=30", "threads=1", "tracker=none", "--study", "s"]
    words = ["sweep", *asked, "--trials", "3", "--seeds", "1", "--quiet", "--results-dir", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        app.main(words)
    assert not ended.value.code
    studies = kept(tmp_path / "s")
    assert sorted(studies) == ["s/adamw", "s/lion"]
    cells = json.loads((tmp_path / "s" / "study.json").read_text())["cells"]
    for cell in cells:
        study = studies[f"s/{cell['label']}"]
        assert study.direction == optuna.study.StudyDirection.MINIMIZE
        assert study.best_value == -cell["trials"][cell["winner"]]["score"]
        assert study.best_params == cell["trials"][cell["winner"]]["values"]
    code = f"import sys\nfrom optbench.cli.app import main\ntry:\n main({words})\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "print('optuna' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr
