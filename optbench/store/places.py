"""The results folder and the names of studies."""

from __future__ import annotations

import os
from pathlib import Path

from optbench.errors import ConfigError
from optbench.files import expanded

LONGEST_NAME = 255  # bytes of a folder's name


def results_root(given: str | Path | None) -> Path:
    """Return the results folder: as given, else $OPTBENCH_RESULTS_DIR, else ./results."""
    return expanded(given or os.environ.get("OPTBENCH_RESULTS_DIR") or "results")


def check_study(study: str) -> None:
    """Raise ConfigError for a study whose name is not a plain folder name."""
    if not study or study.startswith(".") or any(c in study for c in "/\\\0"):
        raise ConfigError(f"--study {study!r}: expected a plain folder name, without / and a leading dot")
    size = len(os.fsencode(study))
    if size > LONGEST_NAME:
        raise ConfigError(
            f"--study {study[:40]!r}...: the name has {size} bytes, and a folder's at most {LONGEST_NAME}"
        )
