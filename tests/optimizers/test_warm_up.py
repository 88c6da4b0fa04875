"""Before the first step rules are compiled; without a working compiler they run eagerly, and the results say so."""

from __future__ import annotations

import importlib.util
import json
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.benches.stepping import contestants, shapes
from optbench.checks import engines as checks_of_engines
from optbench.checks.result import DIFFERS
from optbench.checks.subject import make_subject
from optbench.config import notices
from optbench.optimizers.core import engine as engine_module
from optbench.optimizers.core.choose_engine import has_compiler
from optbench.optimizers.lion import Lion
from optbench.records import Status
from optbench.sessions.execute import execute

COMPILED = [*QUICK, "optimizer=lion", "optimizer.engine=compiled", "steps=3"]
NO_COMPILER, NO_MEMORY = RuntimeError("no tool chain\nmore lines"), torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the notices of this test."""
    said: list[str] = []
    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(notices, "_listeners", [said.append])
    return said


def compiling_raises(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*given: object) -> object:
        raise error

    monkeypatch.setattr(engine_module, "compiled_call", broken)


def lion(**settings: Any) -> Lion:
    theta = torch.zeros(3, requires_grad=True)
    return Lion([theta], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0, engine="compiled", **settings)


def test_without_a_working_compiler_it_runs_eagerly_and_says_so(
    monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    compiling_raises(monkeypatch, NO_COMPILER)
    for _ in range(2):
        optimizer = lion()
        optimizer.warm_up()
        assert optimizer.engine == "eager"
    (notice,) = heard
    assert "runs eagerly" in notice
    assert "RuntimeError: no tool chain" in notice
    assert "more lines" not in notice


def test_run_json_has_the_engine_that_ran(monkeypatch: pytest.MonkeyPatch, heard: list[str], tmp_path: Path) -> None:
    compiling_raises(monkeypatch, NO_COMPILER)
    done = execute(config.load(COMPILED), tmp_path)
    assert done.result["status"] == Status.COMPLETED
    assert done.run["engine"] == json.loads((done.folder / "run.json").read_text())["engine"] == "eager"
    assert len(heard) == 1


def test_out_of_memory_while_compiling_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, heard: list[str], tmp_path: Path
) -> None:
    compiling_raises(monkeypatch, NO_MEMORY)
    with pytest.raises(torch.OutOfMemoryError):
        lion().warm_up()
    done = execute(config.load(COMPILED), tmp_path)
    assert done.result["status"] == Status.OUT_OF_MEMORY
    assert heard == []


def test_the_benches_and_checks_say_so_too(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    compiling_raises(monkeypatch, NO_COMPILER)
    monkeypatch.setitem(shapes.SETS, "tiny", lambda: iter([("w", (3, 4), "matrix")]))
    loaded = config.load(["optimizer=signsgd"])
    found = contestants.contestants(loaded.optimizer, "tiny", torch.device("cpu"), [])
    assert [one.engine for one in found if one.ours] == ["eager", "eager"]
    monkeypatch.setattr(checks_of_engines, "has_compiler", lambda device: True)
    state, detail = checks_of_engines.recompiles(make_subject(loaded))
    assert state == DIFFERS
    assert "runs eagerly" in detail


def test_the_compilers_warnings_do_not_stop_it(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    def warns(rule: Any, *given: object) -> Any:
        warnings.warn("an import of the compiler's is deprecated", DeprecationWarning, stacklevel=1)
        return rule

    monkeypatch.setattr(engine_module, "compiled_call", warns)
    optimizer = lion()
    optimizer.warm_up()
    assert optimizer.engine == "compiled"
    assert heard == []


def test_compiling_counts_in_its_phase_and_in_the_wall_time(tmp_path: Path) -> None:
    result = execute(config.load(COMPILED), tmp_path).result
    seconds = result["seconds"]
    assert seconds["compile"] > 0
    assert sum(seconds.values()) == pytest.approx(result["wall_seconds"], rel=0.05)


PROGRAMS = {"cpu": ("g++", "CXX"), "cuda": ("gcc", "CC")}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_compiler_needs_a_program_and_pythons_header(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device, (name, variable) = torch.device(kind), PROGRAMS[kind]
    program, other = tmp_path / name, tmp_path / "own-compiler"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: package)
    monkeypatch.setattr(sysconfig, "get_path", lambda kind: str(tmp_path))
    (tmp_path / "Python.h").touch()
    assert not has_compiler(device)
    program.touch(mode=0o755)
    assert has_compiler(device)
    (tmp_path / "Python.h").unlink()
    assert not has_compiler(device)
    (tmp_path / "Python.h").touch()
    program.rename(other)
    assert not has_compiler(device)
    monkeypatch.setenv(variable, str(other))
    assert has_compiler(device)


def test_cuda_needs_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    assert not has_compiler(torch.device("cuda"))
