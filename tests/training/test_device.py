"""What torch keeps for the whole process (TF32, the current device), and calls that name their device."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import QUICK, Call

from optbench import config
from optbench.benches import synchronizer
from optbench.errors import ConfigError
from optbench.sessions.assemble import assemble
from optbench.sessions.execute import FinishedRun
from optbench.training.clock import FORWARD, OTHER, clock_for
from optbench.training.device import allow_tf32, configure_torch, peak_flops
from optbench.training.provenance import driver_version, hardware

PACKAGE = Path(config.__file__).parent.parent
CPU, SECOND = torch.device("cpu"), torch.device("cuda:1")


@pytest.fixture(autouse=True)
def torch_as_before() -> Iterator[None]:
    """The settings of torch are those of every test's start."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    allow_tf32(False)
    torch.backends.cudnn.allow_tf32 = True  # torch's own default


def tf32() -> tuple[bool, bool]:
    """Whether matrix products and convolutions may use TF32."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    return cuda.fp32_precision == "tf32", cudnn.fp32_precision == "tf32"


class FakeCuda:
    """Two CUDA devices that note what is asked of them, for machines without any."""

    def __init__(self, patch: pytest.MonkeyPatch, capability: tuple[int, int] = (9, 0)) -> None:
        self.calls: list[tuple[str, torch.device | int]] = []
        answers = {
            "set_device": None,
            "synchronize": None,
            "current_stream": "stream",
            "get_device_capability": capability,
            "get_device_properties": SimpleNamespace(name="NVIDIA A100-SXM4-80GB", total_memory=80 * 2**30),
        }
        for name, answer in answers.items():
            patch.setattr(torch.cuda, name, self.noting(name, answer))
        patch.setattr(torch.cuda, "Event", self.event)

    def noting(self, name: str, answer: Any) -> Callable[..., Any]:
        """Return a function that notes its device. It has no default device, as a call without one is the fault."""

        def call(device: torch.device | int) -> Any:
            self.calls.append((name, device))
            return f"stream of {device}" if answer == "stream" else answer

        return call

    def event(self, enable_timing: bool) -> Any:
        """Return an event that notes the stream it is recorded on."""
        assert enable_timing
        return SimpleNamespace(
            record=lambda stream: self.calls.append(("record", stream)),
            synchronize=lambda: None,
            elapsed_time=lambda other: 2.0,
        )


# -- TF32 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_neither_products_nor_convolutions_use_tf32_unless_asked(precision: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    configure_torch(config.load([*QUICK, f"precision={precision}"]), CPU)
    assert tf32() == (False, False)


def test_both_use_tf32_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda(monkeypatch)
    loaded = config.load([*QUICK, "precision=tf32"])
    configure_torch(loaded, SECOND)
    assert tf32() == (True, True)
    facts = hardware(SECOND)
    assert (facts["tf32_matmul"], facts["tf32_convolutions"]) == (True, True)
    assert facts["cudnn"] == torch.backends.cudnn.version()
    assert peak_flops(SECOND, "tf32") == 8 * 19.5e12 == 8 * (peak_flops(SECOND, "fp32") or 0)
    assert {device for _, device in fake.calls} == {SECOND, 1}


@pytest.mark.parametrize("allowed", [True, False])
def test_the_older_and_newer_settings_of_torch_stay_equal(allowed: bool) -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # a user's own code may have used the newer ones
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        allow_tf32(allowed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.9 warns of the older ones
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == allowed  # raise if unequal
        assert torch.get_float32_matmul_precision() == ("high" if allowed else "highest")
        with torch.backends.cudnn.flags(enabled=True):
            pass


def test_a_run_sets_them_in_its_own_process() -> None:
    torch.backends.cudnn.allow_tf32 = True
    assemble(config.load([*QUICK, "steps=1", "device=cpu"]))
    assert tf32() == (False, False)


def test_a_device_without_tf32_refuses_it(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUICK, "precision=tf32", "device=cpu", "--results-dir", tmp_path)
    for command in ("run", "sweep"):
        code, _, err = call(command, *words, *(["--trials", 1] if command == "sweep" else []))
        assert code == 2 and "precision=tf32: CPUs have no TF32" in err and "precision=fp32" in err
    FakeCuda(monkeypatch, capability=(7, 5))
    with pytest.raises(ConfigError, match="has no TF32"):
        configure_torch(config.load([*QUICK, "precision=tf32"]), SECOND)


def test_the_driver_is_read_from_proc(tmp_path: Path) -> None:
    file = tmp_path / "version"
    for line, version in (
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023", "535.129.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs)", "570.86.15"),
    ):
        file.write_text(f"{line}\nGCC version:  gcc version 11.4.0\n")
        driver_version.cache_clear()
        assert driver_version(file) == version
    assert driver_version(tmp_path / "none") is None
    driver_version.cache_clear()


def test_run_json_of_a_cpu_says_nothing_of_tf32(quick_run: Callable[..., FinishedRun]) -> None:
    ended = quick_run("steps=1", "device=cpu")
    found = json.loads((ended.folder / "run.json").read_text())["hardware"]
    assert found["device"] == "cpu" and "tf32_matmul" not in found


# -- the device of a call ----------------------------------------------------------------------------------------------


def test_the_current_device_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda(monkeypatch)
    for name, index in (("cuda:1", 1), ("cuda", 0)):  # after a run on cuda:1, "cuda" is the first one again
        configure_torch(config.load(QUICK), torch.device(name))
        assert fake.calls.pop() == ("set_device", index)


def test_events_are_recorded_on_the_stream_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda(monkeypatch)
    clock = clock_for(SECOND)
    clock.to(FORWARD)
    clock.to(OTHER)
    clock.resolve()
    assert clock.seconds()["forward"] == 0.002
    assert {call for call in fake.calls if call[0] == "record"} == {("record", "stream of cuda:1")}


def test_benches_wait_for_their_device(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCuda(monkeypatch)
    synchronizer(SECOND)()
    assert fake.calls == [("synchronize", SECOND)]


def test_every_call_for_one_device_names_it() -> None:
    """The default of these functions is the current device, which need not be the run's."""
    of_one = {"synchronize", "current_stream", "mem_get_info", "get_device_properties", "get_device_capability"}
    of_one |= {"memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"}
    of_one |= {"reset_peak_memory_stats", "get_rng_state", "set_rng_state", "Stream", "current_device"}
    found, unnamed = 0, []
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        given = {call.args[0] for call in calls.values() if ast.unparse(call.func) == "functools.partial"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in of_one and ast.unparse(node.value) == "torch.cuda":
                call = calls.get(node)
                needed = 2 if node.attr == "set_rng_state" else 1
                found += 1
                if node not in given and (call is None or len(call.args) + len(call.keywords) < needed):
                    unnamed.append(f"{file.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}")
    assert found > 10 and not unnamed
