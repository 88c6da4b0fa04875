"""`optbench doctor` names what is wrong with a machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from email.message import Message
from pathlib import Path

import pytest

from optbench.cli import probes


def test_this_machine_is_in_order() -> None:
    findings = probes.examine()
    assert {f.name for f in findings} >= {
        "python",
        "torch",
        "torch and torchvision",
        "compiler",
        "results folder",
        "configuration",
    }
    assert [f for f in findings if f.state == probes.FAIL] == []


@pytest.mark.parametrize(
    "message",
    ["RuntimeError: operator torchvision::nms does not exist", "ImportError: libcudart.so: undefined symbol: x"],
)
def test_a_broken_mix_of_torch_and_torchvision_is_recognised(tmp_path: Path, message: str) -> None:
    (tmp_path / "torchvision").mkdir()
    kind, text = message.split(": ", 1)
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {kind}({text!r})")
    code = "from optbench.cli import probes; print(probes.torch_and_torchvision('pair')[0])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert "state='fail'" in done.stdout
    assert "incompatible builds" in done.stdout
    assert "--force-reinstall torch torchvision" in done.stdout


@pytest.mark.parametrize(
    ("hydra", "omegaconf", "state"),
    [
        ("1.3.8", "2.3.1", "ok"),
        ("1.3.8", "2.4.0", "fail"),
        ("1.4.0rc3", "2.4.1", "ok"),
        ("1.4.0", "2.3.1", "fail"),
    ],
)
def test_hydra_and_omegaconf_must_fit(monkeypatch: pytest.MonkeyPatch, hydra: str, omegaconf: str, state: str) -> None:
    versions = {"hydra-core": hydra, "omegaconf": omegaconf}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    assert probes.hydra_and_omegaconf("x")[0].state == state


def test_unsuitable_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Message()
    for requirement in ("torch>=2", "absent>=1", "typer>=99; python_version > '3'", "windows-only; os_name == 'nt'"):
        metadata["Requires-Dist"] = requirement
    for requirement in ("optuna<1; extra == 'search'", "not-there; extra == 'search'"):
        metadata["Requires-Dist"] = requirement
    metadata["Provides-Extra"] = "search"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)
    versions = {"torch": "2.9", "typer": "0.15", "optuna": "4.2"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions.get(name) or not_installed(name))
    assert [(f.name, f.state, f.remedy) for f in probes.packages("packages")] == [
        ("torch", "ok", ""),
        ("absent", "fail", "pip install 'absent>=1'"),
        ("typer", "fail", "pip install 'typer>=99'"),
        ("optuna", "warn", "pip install 'optuna<1'"),
    ]


def not_installed(name: str) -> str:
    raise importlib.metadata.PackageNotFoundError(name)


def test_requirements_of_a_checkout_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "metadata", not_installed)
    versions = {"torch": "2.9"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions.get(name) or not_installed(name))
    found = {f.name: f.state for f in probes.packages("packages")}
    assert found["torch"] == probes.OK and found["polars"] == probes.FAIL
    assert "optuna" not in found and "optbench" not in found  # optional, and itself
    monkeypatch.setattr(probes, "PROJECT", tmp_path / "pyproject.toml")
    assert [f.state for f in probes.packages("packages")] == [probes.WARN]


def test_no_compiler_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert probes.compiler("compiler")[0].state == probes.WARN


def test_missing_headers_of_python_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert [(f.name, f.state) for f in probes.compiler("compiler")][1:] == [("Python.h", probes.WARN)]
    (tmp_path / "Python.h").touch()
    assert [f.name for f in probes.compiler("compiler")] == ["compiler"]


@pytest.mark.parametrize(
    ("installed", "programs", "state", "remedy"),
    [(False, "gcc", "warn", "pip install triton"), (True, "", "warn", "install gcc or clang"), (True, "gcc", "ok", "")],
)
def test_cuda_needs_triton_and_a_c_compiler(
    monkeypatch: pytest.MonkeyPatch, installed: bool, programs: str, state: str, remedy: str
) -> None:
    import torch

    assert probes.triton("triton") == [] or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if installed else None)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.8")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == programs else None)
    (finding,) = probes.triton("triton")
    assert (finding.state, finding.remedy) == (state, remedy)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("raise ImportError('no')", "--force-reinstall"), ("import os; os.kill(os.getpid(), 4)", "polars[rtcompat]")],
)
def test_a_polars_that_cannot_be_imported_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, remedy: str
) -> None:
    (tmp_path / "polars.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = probes.polars("polars")
    assert finding.state == probes.FAIL and remedy in finding.remedy


def test_a_failing_probe_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(name: str) -> list[probes.Finding]:
        raise ValueError("oh")

    monkeypatch.setattr(probes, "PROBES", (breaks,))
    (finding,) = probes.examine()
    assert (finding.state, finding.detail) == ("fail", "the probe failed: ValueError: oh")
