"""The device of a run: its choice, torch's settings, its peak speed."""

from __future__ import annotations

import os
import re
import warnings

import torch

from optbench.config import RunConfig, packaged_folder, read_yaml
from optbench.errors import ConfigError, MissingError

TF32 = "tf32"
"""The precision with float32 tensors and TF32 arithmetic."""
TF32_CAPABILITY = (8, 0)


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


def configure_torch(config: RunConfig, device: torch.device) -> None:
    """Set what torch keeps for the whole process: threads, determinism, TF32, and the current CUDA device.

    Raises ConfigError for precision=tf32 on a device without TF32."""
    torch.set_num_threads(config.threads)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.benchmark = not config.deterministic
    if config.precision == TF32:
        check_tf32(device)
    allow_tf32(config.precision == TF32)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)  # kernels, events and buffers of libraries go to the current device


def allow_tf32(allowed: bool) -> None:
    """Let float32 matrix products and convolutions on CUDA use TF32 (10 bits of mantissa), or forbid it to both.

    torch's defaults differ: off for products, on for convolutions. Only these flags keep torch's older and newer
    settings equal; torch.compile and `torch.backends.cudnn.flags` fail where they differ (pytorch issue 166387)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*new API settings to control TF32")  # torch 2.9
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed


def check_tf32(device: torch.device) -> None:
    """Raise ConfigError if the device has no TF32: CPUs, and GPUs before compute capability 8.0."""
    if device.type != "cuda":
        raise ConfigError("precision=tf32: CPUs have no TF32", "Use precision=fp32, or device=cuda on a GPU")
    if torch.cuda.get_device_capability(device) < TF32_CAPABILITY:
        name = torch.cuda.get_device_properties(device).name
        raise ConfigError(f"precision=tf32: {name} has no TF32", "Use precision=fp32, or a GPU of Ampere or later")


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Return the peak FLOP/s of a GPU at a precision (conf/hardware.yaml); None for CPUs and unknown GPUs."""
    if device.type != "cuda":
        return None
    known = read_yaml(packaged_folder() / "hardware.yaml")
    name = torch.cuda.get_device_properties(device).name
    matches = [key for key in known if re.search(re.escape(key) + "(?![0-9A-Za-z])", name)]
    return known[max(matches, key=len)].get(precision) if matches else None
