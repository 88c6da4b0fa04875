"""Strangers on the network and on the machine: nothing listens to them, and what they send is never code."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.distributed import launch
from optbench.distributed.failures import FAILURE_KEY, FailureReports
from optbench.distributed.values import from_bytes, to_bytes
from optbench.errors import ConfigError, Interrupted, OptbenchError, RankLost
from optbench.sessions.session import Session, execute

LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
CLOSED = RuntimeError("Connection closed by peer")


def listeners(pids: list[int]) -> set[str]:
    """Return the addresses on which processes listen, as /proc/net has them."""
    sockets = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # that of the folder itself is closed
                target = os.readlink(handle)
                sockets |= {target[8:-1]} if target.startswith("socket:[") else set()
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="finds sockets in /proc")
def test_ranks_of_one_machine_listen_on_loopback_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: set[str] = set()
    on_step = Session._on_step

    def looked(session: Session, trainer: Any) -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        found.update(listeners([os.getpid(), *map(int, children)]))
        on_step(session, trainer)

    monkeypatch.setattr(Session, "_on_step", looked)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    done = execute(config.load([*QUICK, "steps=2", "devices=2"]), tmp_path)
    assert done.result["status"] == "completed"
    assert found
    assert found <= set(LOOPBACK)
    assert "GLOO_SOCKET_IFNAME" not in os.environ  # a library leaves the environment as it was


def test_a_helper_imports_nothing_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "pickle"):
        (tmp_path / f"{name}.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    monkeypatch.chdir(tmp_path)
    code = launch.HELPER.format(module="os", name="getpid")
    done = subprocess.run([sys.executable, *launch.SAFELY, code], input=json.dumps(sys.path), text=True)
    assert done.returncode == 0
    assert not (tmp_path / "imported").exists()


# -- reports of failures -----------------------------------------------------------------------------------------------


class Runs:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Exception]:
    """Return a function that plants a failure key and returns the error that a rank then raises."""
    monkeypatch.setattr("optbench.distributed.failures.REPORT_SECONDS", 0.0)

    def read(planted: bytes) -> Exception:
        store = torch.distributed.HashStore()
        store.set(FAILURE_KEY, planted)
        return FailureReports(0, 2, store).explain(CLOSED)

    return read


PLANTED = {
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "nested": b"[" * 100_000,
    "a number": b"1",
    "no text": b'{"own": null, "other": 3}',
    "a class of another module": b'{"own": {"error": "subprocess.Popen", "message": "true"}}',
    "an exception of Python's": b'{"own": {"error": "SystemExit", "message": "0"}}',
    "no message": b'{"own": {"error": "ConfigError", "message": 3}}',
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_failure_is_a_lost_rank(planted: bytes, reports: Callable[[bytes], Exception]) -> None:
    assert isinstance(reports(planted), RankLost)


def test_a_planted_pickle_runs_nothing(tmp_path: Path, reports: Callable[[bytes], Exception]) -> None:
    marker = tmp_path / "ran"
    content = pickle.dumps((1, Runs(marker), ""))
    for planted in (content, base64.b64encode(content)):
        assert isinstance(reports(planted), RankLost)
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()  # it would have


@pytest.mark.parametrize(
    "error", [ConfigError("wrong", "Say otherwise"), RankLost("gone"), Interrupted(15, "stopped", "Go on")], ids=repr
)
def test_a_rank_s_own_error_reaches_the_others_whole(error: OptbenchError) -> None:
    store = torch.distributed.HashStore()
    FailureReports(1, 2, store).write(error)
    FailureReports(2, 3, store).write(RuntimeError("the second"))
    found = FailureReports(0, 2, store).explain(CLOSED)
    assert (type(found), vars(found)) == (type(error), vars(error))


def test_any_other_error_of_a_rank_is_told_with_its_kind() -> None:
    store = torch.distributed.HashStore()
    FailureReports(1, 2, store).write(ValueError("two\nlines"))
    found = FailureReports(0, 2, store).explain(CLOSED)
    assert (type(found), str(found)) == (RuntimeError, "rank 1: ValueError: two")


# -- values ------------------------------------------------------------------------------------------------------------


def test_values_between_ranks_come_back_the_same() -> None:
    value = {"a": [1, 2.5, None, True, "x"], "b": (torch.arange(3), 4), "folder": Path("a") / "b", 3: {"bytes": b"c"}}
    found: Any = from_bytes(to_bytes(value))
    assert torch.equal(found["b"][0], value["b"][0])
    assert {**found, "b": 0} == {**value, "b": 0}


def test_a_planted_value_runs_nothing(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError):
        from_bytes(to_bytes(Runs(tmp_path / "ran")))
    assert not (tmp_path / "ran").exists()
