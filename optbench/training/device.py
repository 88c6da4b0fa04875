"""The device of a run: its choice, torch's settings, its peak speed."""

from __future__ import annotations

import os
import re

import torch

from optbench.config import packaged_folder, read_yaml
from optbench.errors import ConfigError, MissingError


def resolve_device(name: str) -> torch.device:
    """Return the device for `device=`; "auto" is CUDA if available, else the CPU.

    Raises ConfigError for an unknown name, MissingError if the device is absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name}: unknown device", "Use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={name}: unsupported device", "Use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise MissingError(f"device={name}: no such device on this machine", f"CUDA devices available: {count}")
    return device


def configure_torch(threads: int, deterministic: bool) -> None:
    """Set torch's number of threads and whether it may use nondeterministic algorithms."""
    torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Return the peak FLOP/s of a GPU at a precision (conf/hardware.yaml); None for CPUs and unknown GPUs."""
    if device.type != "cuda":
        return None
    known = read_yaml(packaged_folder() / "hardware.yaml")
    name = torch.cuda.get_device_properties(device).name
    matches = [key for key in known if re.search(re.escape(key) + "(?![0-9A-Za-z])", name)]
    return known[max(matches, key=len)].get(precision) if matches else None
