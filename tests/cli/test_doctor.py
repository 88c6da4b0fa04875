"""`optbench doctor` names what is wrong with a machine."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
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


def test_no_compiler_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert probes.compiler("compiler")[0].state == probes.WARN


def test_a_failing_probe_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(name: str) -> list[probes.Finding]:
        raise ValueError("oh")

    monkeypatch.setattr(probes, "PROBES", (breaks,))
    (finding,) = probes.examine()
    assert (finding.state, finding.detail) == ("fail", "the probe failed: ValueError: oh")
