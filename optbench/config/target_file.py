"""The keys that a run reads from a target file. Loads pydantic: import this module inside functions."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from optbench.config.files import read_yaml
from optbench.config.validation import validated


class TargetFile(BaseModel):
    """A file of conf/target; `optbench targets set` writes it and documents its other keys."""

    model_config = ConfigDict(strict=True, frozen=True)
    value: FiniteFloat
    batch_size: int = Field(ge=1)
    workload_sha256: str
    procedure_sha256: str
    data_sha256: str | None = None


def read_target(file: Path) -> TargetFile:
    """Return what a target file says. Raises ConfigError with file and key for a missing or invalid one."""
    return validated(TargetFile, read_yaml(file), f"{file}: ")
