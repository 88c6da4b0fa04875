"""Cores shared with others: OpenMP's waiting, quotas of containers, time spent waiting for a core."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from optbench.benches import load
from optbench.training import cpu


@pytest.mark.parametrize(
    ("others", "threads", "spins"), [(0, 2, None), (1, 2, "0"), (6, 2, "0"), (0, 4, "0"), (9, 1, None)]
)
def test_threads_sleep_early_where_others_leave_too_few_cores(
    others: int, threads: int, spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(cpu, "running_others", lambda: others)
    for name in cpu.USERS:
        monkeypatch.setenv(name, "")  # restored at the end, whatever is set here
        monkeypatch.delenv(name)
    cpu.choose_waiting(threads)
    assert cpu.waiting_settings() == {"GOMP_SPINCOUNT": spins, "OMP_WAIT_POLICY": None}


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")])
def test_how_the_user_lets_threads_wait_stays(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "running_others", lambda: 100)
    for other in cpu.USERS:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    cpu.choose_waiting(2)
    assert {k: v for k, v in cpu.waiting_settings().items() if v is not None} == {name: value}


@pytest.mark.parametrize(
    ("texts", "others"),
    [
        (["0.10 0.20 0.30 1/99 7"], 0),
        (["9.10 0.20 0.30 4/99 7"], 3),
        (["0 0 0 2/9 7", "0 0 0 9/9 7", "0 0 0 2/9 7"], 1),
        (["nonsense"], 0),
    ],
)
def test_the_middle_of_some_looks_counts(
    texts: list[str], others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = texts * cpu.LOOKS
    monkeypatch.setattr(Path, "read_text", lambda self: left.pop())
    assert cpu.running_others(tmp_path / "loadavg") == others
    monkeypatch.undo()
    assert cpu.running_others(tmp_path / "absent") == 0


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container_is_read(tmp_path: Path, files: dict[str, str], cores: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu.quota(tmp_path) == cores


def thread(folder: Path, name: str, ran: int, waited: int) -> None:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "schedstat").write_text(f"{ran} {waited} 12\n")


def test_time_waited_is_that_of_all_threads_since_the_start(tmp_path: Path) -> None:
    thread(tmp_path, "1", 5_000, 90_000)
    thread(tmp_path, "2", 1_000, 1_000)
    found = cpu.CoreWait(2, tmp_path)
    assert found.share() is None
    thread(tmp_path, "1", 5_600, 90_100)
    thread(tmp_path, "3", 200, 100)
    assert found.share() == pytest.approx(200 / (600 + 100 + 200 + 100))
    assert cpu.CoreWait(2, tmp_path / "absent").share() is None


@pytest.mark.parametrize(
    ("share", "allowed", "said"),
    [
        (0.05, None, None),
        (None, 2.0, None),
        (0.43, None, "waited 43% of their time"),
        (0.05, 1.5, "may use 1.5 cores, and threads=2"),
    ],
)
def test_a_busy_machine_and_a_small_quota_are_said(
    share: float | None, allowed: float | None, said: str | None
) -> None:
    found = cpu.problem(2, share, allowed)
    assert found is None if said is None else said in (found or "")


def test_a_run_says_once_that_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu, "LOOK_SECONDS", 0.0)
    thread(tmp_path, "1", 0, 0)
    found = cpu.CoreWait(3, tmp_path)
    thread(tmp_path, "1", 100, 300)
    for _ in range(3):
        found.look()
    assert sum("this machine is busy" in text for text in caplog.messages) == 1


def test_a_run_has_on_record_how_its_threads_waited(quick_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "123")
    ended = quick_run("steps=5")
    assert ended.run["openmp"]["GOMP_SPINCOUNT"] == "123"
    share = ended.result["throughput"]["core_wait_share"]
    assert share is None or 0 <= share < 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two threads need two cores")
def test_a_busy_process_slows_training_by_its_share_and_little_more() -> None:
    """Half of the cores' time is the share; threads that spin for each other have some 15 % of the speed alone."""
    count = os.cpu_count() or 1
    with load.busy_processes(count):
        beside = load.speed("mlp", count, load.AUTO, 5)
    assert load.speed("mlp", count, load.AUTO, 5) < 4 * beside
