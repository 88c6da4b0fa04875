"""The origin of results: package versions, hardware, git state. They are read once per process: what it has imported
does not change any more, and a sweep reads them before it forks its runs."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PACKAGES = ("optbench", "torch", "torchvision", "timm", "transformers", "hydra-core", "omegaconf", "numpy", "wandb")
PACKAGES += ("pytorch-optimizer", "torch-optimi", "heavyball", "schedulefree", "dadaptation")  # the extra `peers`


@functools.cache
def package_versions() -> Mapping[str, str | None]:
    """Return the installed versions, without importing the packages; None if absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def hardware(device: torch.device) -> dict[str, str | int | None]:
    """Return the hardware that a run's times depend on: device, CPU model, cores, memory."""
    facts = {**cpu_facts(), "device": device.type}
    if device.type == "cuda":
        import torch

        gpu = torch.cuda.get_device_properties(device)
        facts |= {
            "gpu": gpu.name,
            "gpu_memory_bytes": gpu.total_memory,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": driver_version(),
            "tf32_matmul": torch.backends.cuda.matmul.fp32_precision == "tf32",
            "tf32_convolutions": torch.backends.cudnn.conv.fp32_precision == "tf32",  # pyright: ignore[reportAttributeAccessIssue]
        }
    return facts


@functools.cache
def driver_version(file: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """Return the version of NVIDIA's driver from its file in /proc; None where there is none."""
    try:
        found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", file.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None


def cpu_facts() -> dict[str, str | int | None]:
    """Return the hardware without accelerators."""
    return {
        "device": "cpu",
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "host": platform.node(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


@functools.cache
def cpu_name() -> str:
    """Return the CPU's model name, or its architecture if the model is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


PROGRAM = (":/optbench", ":/conf")  # what a run's numbers follow from, in a checkout


@functools.cache
def git_state() -> Mapping[str, str | bool | None]:
    """Return the last commit that changed the package or its configuration, and whether they differ from it.

    None for an installed package. Reports keep runs of different commits apart; one that changed documents or studies
    alone does not count."""
    package = Path(__file__).resolve().parent.parent
    if not (package.parent / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = git(package, "log", "-1", "--format=%H", "--", *PROGRAM)
        status = git(package, "status", "--porcelain", "-uno", "--", *PROGRAM)
    except (OSError, subprocess.TimeoutExpired):
        return {"commit": None, "dirty": None}
    return {"commit": commit or None, "dirty": bool(status)}


def git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command in a folder."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()
