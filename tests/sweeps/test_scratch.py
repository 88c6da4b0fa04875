"""The folders of a sweep in the temporary directory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from optbench.store.private import process_space, scratch_prefix
from optbench.sweeps.executors.scratch import remove_left_behind


def test_folders_of_processes_that_are_gone_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = process_space()
    gone = f"optbench-{here}-{ended.pid}"
    kept = [
        f"{scratch_prefix()}abc",
        f"optbench-{here + 1}-{ended.pid}-abc",
        "optbench-other",
        "pymp-x",
        "optbench-1-1-a b",
    ]
    names = [f"{gone}-abc", *kept]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / f"{gone}-link").symlink_to(tmp_path / names[1])
    remove_left_behind()
    assert {*os.listdir(tmp_path)} == {*names[1:], f"{gone}-link"}
