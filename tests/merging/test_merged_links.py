"""Links in trees that are merged are neither followed nor copied."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "reports"))
from conftest import Call
from made_runs import write_study

LION = {"lion": [0.9, 0.91]}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run folder in the tree "a" with links, a FIFO and a file."""
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "a", LION)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    run = sorted(path for path in (tmp_path / "a").rglob("result.json"))[0].parent
    (run / "pictures").symlink_to(secret)
    (run / "error.txt").symlink_to(secret / "key")
    (run / "checkpoints").mkdir(exist_ok=True)
    (run / "checkpoints" / "step-000000001.pt").symlink_to(secret / "key")
    os.mkfifo(run / "notes")
    logs = run.parent / "logs"
    logs.mkdir()
    (logs / f"{run.name}.txt").symlink_to(secret / "key")
    return run


@pytest.mark.parametrize("options", [[], ["--link"]], ids=["copy", "link"])
def test_links_and_fifos_are_left_out_of_a_copy_with_a_notice(
    tmp_path: Path, tree: Path, call: Call, options: list[str]
) -> None:
    code, _, err = call("merge", "a", "-o", "all", *options)
    assert code == 0, err
    merged = next((tmp_path / "all").rglob(f"{tree.name}/result.json")).parent
    assert not any(path.is_symlink() or path.is_fifo() for path in (tmp_path / "all").rglob("*"))
    assert not any("secret" in path.read_text("utf-8", "replace") for path in merged.rglob("*") if path.is_file())
    assert err.count("left out, since it is a link or not a regular file") == 4
    assert not (merged.parent / "logs" / f"{tree.name}.txt").exists()


def test_links_in_the_target_are_not_followed(tmp_path: Path, tree: Path, call: Call) -> None:
    study = tmp_path / "all" / tree.parent.name
    (study / "logs").mkdir(parents=True)
    (study / "logs" / f"{tree.name}.txt").symlink_to(tmp_path / "made")
    (study / ".merging").symlink_to(tmp_path / "secret")
    (tree.parent / "logs" / f"{tree.name}.txt").unlink()
    (tree.parent / "logs" / f"{tree.name}.txt").write_text("log")
    code, _, err = call("merge", "a", "-o", "all")
    assert code == 2 and ".merging: is a link" in err
    (study / ".merging").unlink()
    assert call("merge", "a", "-o", "all")[0] == 0
    assert not (tmp_path / "made").exists()
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["key"]


def test_a_moved_link_to_a_run_becomes_the_run(tmp_path: Path, tree: Path, call: Call) -> None:
    disk = tmp_path / "disk"
    tree.rename(disk)
    tree.symlink_to(os.path.relpath(disk, tree.parent))
    code, _, err = call("merge", "a", "-o", "all", "--move")
    assert code == 0, err
    merged = next((tmp_path / "all").rglob(f"{tree.name}/result.json")).parent
    assert not merged.is_symlink()
    assert not tree.is_symlink() and (disk / "result.json").exists()
