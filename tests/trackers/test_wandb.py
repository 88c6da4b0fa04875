"""W&B as a mirror: what is logged offline can be read back by the official reader, every record of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK

from optbench.trackers.wandb import WandbTracker, has_key

pytest.importorskip("wandb")


def inspected(folder: Path) -> list[dict[str, Any]]:
    """The history rows of the one offline run below a folder, by `wandb leet inspect`."""
    (file,) = folder.rglob("*.wandb")
    wandb = shutil.which("wandb", path=str(Path(sys.executable).parent)) or "wandb"
    done = subprocess.run([wandb, "leet", "inspect", "--json", str(file)], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [row["history"] for row in rows if row["type"] == "history"]


def values(row: dict[str, Any]) -> dict[str, Any]:
    """The logged values of a history row, whatever way the reader nests them."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        found.update(value if isinstance(value, dict) else {key: value})
    return found


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def test_every_record_can_be_read_back(no_key: None, tmp_path: Path) -> None:
    overrides = [*QUICK[:2], "steps=60", "record_every=5", "eval_every=20"]
    command = [
        sys.executable,
        "-m",
        "optbench",
        "run",
        *overrides,
        "--json",
        "--results-dir",
        str(tmp_path / "results"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    assert done.stderr.count("W&B logs offline; upload with: wandb sync") == 1
    assert "wandb:" not in done.stderr
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [values(row) for row in inspected(folder)]
    assert len(logged) == len(rows) == 17
    for row, seen in zip(rows, logged, strict=True):
        expected = {key: value for key, value in row.items() if value is not None}
        assert {key: seen.get(key) for key in expected} == pytest.approx(expected)


def test_a_key_is_looked_for_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    assert not has_key()
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    assert has_key()
    netrc.write_text("machine my.server login user password secret\n")
    assert not has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://my.server")
    assert has_key()
    netrc.write_text("not a netrc file at all {")
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert has_key()


def test_without_the_package_a_run_is_only_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    notices: list[str] = []
    tracker = WandbTracker(tmp_path, "p", notices.append)
    tracker.start({"run_id": "x"})
    tracker.finish(None)
    assert notices == ["W&B is not installed: records are kept in the results folder alone"]


def test_a_server_that_is_not_there_means_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick_run: Callable[..., Any]
) -> None:
    """Only the first answer of W&B is made up here: its own client would wait for the network for 20 s."""
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    modes: list[str] = []

    def begin(self: WandbTracker, run: Any, mode: str) -> Any:
        modes.append(mode)
        if mode == "online":
            raise TimeoutError("no answer\nat all")
        return type("Run", (), {"dir": str(tmp_path / "offline-run" / "files")})()

    monkeypatch.setattr(WandbTracker, "_begin", begin)
    notices: list[str] = []
    WandbTracker(tmp_path, "p", notices.append).start({"run_id": "x"})
    assert modes == ["online", "offline"]
    assert notices[0] == "W&B cannot be reached (no answer); logging offline"
