"""The machine and its randomness: device, threads, seeds, random state, provenance."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from optbench.config import packaged_folder, read_yaml
from optbench.contracts import Seeds
from optbench.errors import ConfigError, MissingError

PACKAGES = ("optbench", "torch", "torchvision", "timm", "transformers", "hydra-core", "omegaconf", "numpy", "wandb")
PACKAGES += ("pytorch-optimizer", "torch-optimi", "heavyball", "schedulefree")  # the extra `peers`


def derive_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose, independent of those for others (63 bits of SHA-256)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "big") >> 1


def seeds_of(seed: int) -> Seeds:
    """The seeds of a run."""
    return Seeds(init=derive_seed(seed, "init"), order=derive_seed(seed, "order"), augment=derive_seed(seed, "augment"))


def resolve_device(name: str) -> torch.device:
    """The device of `device=`: "auto" is CUDA where there is one. MissingError (exit 4) where it is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name}: expected auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={name}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MissingError(f"device={name}: there is no such device here", f"CUDA devices: {torch.cuda.device_count()}")
    return device


def prepare(threads: int, deterministic: bool, init_seed: int) -> None:
    """Set torch's threads, its determinism and every global generator."""
    torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    random.seed(init_seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(init_seed % 2**32)
    torch.manual_seed(init_seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """State of every global generator, as tensors and plain values (so that `weights_only` loads it)."""
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        state["numpy"] = (kind, [int(key) for key in keys], *(x if isinstance(x, int) else float(x) for x in rest))
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """The inverse of `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"])
    if "numpy" in state:
        import numpy

        kind, keys, *rest = state["numpy"]
        numpy.random.set_state((kind, numpy.array(keys, dtype="uint32"), *rest))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def torch_random_state(device: torch.device) -> list[torch.Tensor]:
    """State of torch's generators alone: what dropout draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def restore_torch_random_state(state: list[torch.Tensor], device: torch.device) -> None:
    """The inverse of `torch_random_state`."""
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)


def versions() -> dict[str, str | None]:
    """Installed versions, without importing the packages."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run's times depend on: device name, CPU model, cores, memory."""
    facts: dict[str, Any] = {
        "device": device.type,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "host": platform.node(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        facts |= {"gpu": gpu.name, "gpu_memory_bytes": gpu.total_memory, "cuda": torch.version.cuda}
    return facts


def cpu_name() -> str:
    """The CPU's model name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git_state() -> dict[str, Any]:
    """Commit and dirtiness of the optbench checkout; nulls for an installed package."""
    package = Path(__file__).resolve().parent.parent
    if not (package.parent / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, text=True, timeout=10)
        status = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=package, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return {"commit": None, "dirty": None}
    return {"commit": commit.stdout.strip() or None, "dirty": bool(status.stdout.strip())}


def resident_peak_bytes() -> int | None:
    """Peak resident memory of this process; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Peak FLOP/s of a known GPU at a precision (conf/hardware.yaml); None for CPUs and unknown ones."""
    if device.type != "cuda":
        return None
    known = read_yaml(packaged_folder() / "hardware.yaml")
    name = torch.cuda.get_device_properties(device).name
    matches = [key for key in known if re.search(re.escape(key) + "(?![0-9A-Za-z])", name)]
    return known[max(matches, key=len)].get(precision) if matches else None


@contextmanager
def preserved(modules: list[nn.Module], device: torch.device) -> Iterator[None]:
    """Buffers and random state as they were after the block: for steps that must leave no trace."""
    state = torch_random_state(device)
    buffers = [(buffer, buffer.detach().clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        restore_torch_random_state(state, device)
        with torch.no_grad():
            for buffer, copy in buffers:
                buffer.copy_(copy)
