"""The choice between the eager and the compiled engine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch
from torch import Tensor

COMPILED_FROM_PARAMETERS = 1_000_000  # below, the calls cost more than the arithmetic, and compiling takes seconds


def choose_engine(parameters: list[Tensor]) -> str:
    """Return "eager" or "compiled": large problems are compiled if a compiler is installed."""
    large = sum(p.numel() for p in parameters) >= COMPILED_FROM_PARAMETERS
    return "compiled" if large and has_compiler(parameters[0].device) else "eager"


def has_compiler(device: torch.device) -> bool:
    """Return True if torch.compile can make code for the device here."""
    if not Path(sysconfig.get_path("include"), "Python.h").exists():  # both compilers build an extension of Python
        return False
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None and finds_program(os.environ.get("CC"), "gcc", "clang")
    return finds_program(os.environ.get("CXX"), "g++", "clang++")


def finds_program(*names: str | None) -> bool:
    """Return True if one of the programs is installed; None stands for no program."""
    return any(shutil.which(name) for name in names if name)
