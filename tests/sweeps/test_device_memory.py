"""Runs that share a CUDA device are let in by the memory that is free on it."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import pytest

from optbench import config
from optbench.sweeps.dry_run.plan_text import device_lines
from optbench.sweeps.executors import machine
from optbench.sweeps.executors.machine import CONTEXT_BYTES, DeviceMemory, named_devices
from optbench.sweeps.study.outcomes import outcome_of

GIB = 2**30
NEEDED = 4 * GIB - CONTEXT_BYTES  # with the context, 4 GiB


def test_a_slot_on_a_device_with_room_is_taken() -> None:
    free: dict[str, int | None] = {"0": 3 * GIB, "1": 10 * GIB}
    memory = DeviceMemory(["0", "1", "0", "1"], free_bytes=free.get)
    slots = [0, 2, 1, 3]
    assert memory.has_room("a", NEEDED, slots, [])
    assert slots == [1, 0, 2, 3]  # the first on device 1 is now in front
    assert memory.has_room("b", NEEDED, slots := [0, 2, 3], ["a"]) and slots[0] == 3
    assert not memory.has_room("c", NEEDED, [0, 2], ["a", "b"])
    free["0"] = None  # nobody tells
    assert memory.has_room("c", NEEDED, [0, 2], ["a", "b"])


def test_a_run_counts_until_its_memory_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: now[0])
    memory = DeviceMemory(["0"] * 8, free_bytes=lambda name: 9 * GIB)
    assert memory.has_room("a", NEEDED, [0], [])
    assert memory.has_room("b", NEEDED, [1], ["a"])
    assert not memory.has_room("c", NEEDED, [2], ["a", "b"])  # 8 of 9 GiB are spoken for
    assert memory.has_room("c", NEEDED, [2], ["a"])  # b has ended
    now[0] += machine.SETTLING_SECONDS
    assert memory.has_room("d", NEEDED, [3], ["a", "c"])  # what they take is in the 9 GiB by now


def test_runs_of_several_ranks_need_room_on_all_their_devices() -> None:
    free = {"0": 10 * GIB, "1": 2 * GIB, "2": 10 * GIB, "3": 10 * GIB}
    memory = DeviceMemory(["0,1", "2,3"], free_bytes=free.get)
    assert not memory.has_room("a", NEEDED, [0], [])
    assert memory.has_room("a", NEEDED, slots := [0, 1], []) and slots == [1, 0]


def test_runs_of_a_pack_share_its_memory() -> None:
    memory = DeviceMemory(["0"], 4, lambda name: 5 * GIB)
    running: list[str] = []
    for name in "abcde":  # each of the four reports the 4 GiB of the process
        assert memory.has_room(name, NEEDED, [0], running)
        running.append(name)
    assert not memory.has_room("f", NEEDED, [0], running)


def test_without_devices_or_knowledge_there_is_room() -> None:
    assert DeviceMemory([], free_bytes=lambda name: 0).has_room("a", NEEDED, [0], [])
    assert DeviceMemory(["0"], free_bytes=lambda name: 0).has_room("a", 0, [0], [])


def test_a_named_device_is_one_of_the_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    second = [config.load(["device=cuda:1"])]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert named_devices(second) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc")
    assert named_devices(second) == ["GPU-abc"]
    assert named_devices([config.load(["device=cuda"])]) == named_devices([]) == []


class FakeLibrary:
    """NVIDIA's management library with one device: number 0, or GPU-abc, with 5 GiB free."""

    HANDLE = 77

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        handle._obj.value = self.HANDLE
        return 0 if index.value == 0 else 2

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle: Any) -> int:
        handle._obj.value = self.HANDLE
        return 0 if name == b"GPU-abc" else 6

    def nvmlDeviceGetMemoryInfo(self, handle: ctypes.c_void_p, memory: Any) -> int:
        assert handle.value == self.HANDLE
        memory[0], memory[1], memory[2] = 16 * GIB, 5 * GIB, 11 * GIB
        return 0


def test_the_driver_is_asked_for_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "management_library", FakeLibrary)
    assert machine.device_free_bytes("0") == machine.device_free_bytes("GPU-abc") == 5 * GIB
    assert machine.device_free_bytes("1") is machine.device_free_bytes("MIG-x") is None
    monkeypatch.setattr(machine, "management_library", lambda: None)
    assert machine.device_free_bytes("0") is None
    assert "torch" not in machine.__dict__ and "pynvml" not in sys.modules


def test_a_dry_run_warns_of_a_device_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "management_library", FakeLibrary)
    assert device_lines(["0"], NEEDED) == []
    (line,) = device_lines(["0", "0"], NEEDED)
    assert line.startswith("not enough memory on device 0 for all 2")
    assert device_lines(["0", "0"], 0) == device_lines(["7", "7"], NEEDED) == []


def test_the_size_of_a_run_is_what_earlier_ones_reserved() -> None:
    result = {"run_id": "r", "status": "completed", "bytes": {"peak_reserved": 5, "peak_allocated": 3, "resident": 9}}
    assert (outcome_of(result).device_bytes, outcome_of(result).resident_bytes) == (5, 9)
    assert outcome_of({"run_id": "r", "status": "completed", "bytes": {"peak_reserved": None}}).device_bytes == 0
