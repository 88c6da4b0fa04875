"""The commit that a run names: that of the program, not of what lies beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from optbench.training import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "optbench" / "training"
    package.mkdir(parents=True)
    (tmp_path / "conf").mkdir()
    for name in ("optbench/training/provenance.py", "conf/run.yaml", "README.md"):
        (tmp_path / name).write_text("x\n")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> str:
    owner = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", *owner, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def state() -> dict[str, object]:
    provenance.git_state.cache_clear()
    return dict(provenance.git_state())


def test_documents_change_nothing_and_the_program_does(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "README.md").write_text("y\n")
    assert state() == {"commit": first, "dirty": False}
    commit(checkout)
    assert state() == {"commit": first, "dirty": False}
    (checkout / "conf" / "run.yaml").write_text("y\n")
    assert state() == {"commit": first, "dirty": True}
    second = commit(checkout)
    assert state() == {"commit": second, "dirty": False}
    (checkout / "optbench" / "training" / "provenance.py").write_text("y\n")
    assert state() == {"commit": second, "dirty": True}
    provenance.git_state.cache_clear()
