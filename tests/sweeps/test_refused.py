"""A sweep that is refused before its first run leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import QUICK, Call

from optbench.errors import ConfigError
from optbench.sweeps.scheduler.study_file import scheduler_lock

REFUSED = {
    "bad word": (["optimizer=lionn"], 2),
    "bad option": (["optimizer=lion", "--storage", "nonsense://"], 4),
    "missing data": (["optimizer=lion", "data=imagefolder", "data.path=/nowhere"], 4),
    "missing device": (["optimizer=lion", "device=cuda:99"], 4),
    "unsupported combination": (["optimizer=kfac", "precision=fp16"], 2),
    "no task": (["optimizer=lion", "model.task.target=os.system"], 2),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_sweep_leaves_no_folder(call: Call, tmp_path: Path, kind: str) -> None:
    words, code = REFUSED[kind]
    root = tmp_path / "results"
    options = ["--trials", 2, "--seeds", 1, "--results-dir", root, "--jobs", 1]
    assert call("sweep", *QUICK, "steps=1", *words, *options)[0] == code
    assert not root.exists()


@pytest.mark.parametrize("name", ["a run", "notes.txt", "study.json.old"])
def test_what_is_not_a_sweeps_own_is_never_deleted(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "results" / "mine"
    with pytest.raises(ConfigError), scheduler_lock(folder):
        (folder / name).mkdir()
        raise ConfigError("refused")
    assert (folder / name).exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(ConfigError), scheduler_lock(folder):
        raise ConfigError("refused")
    assert folder.exists()
