"""The results folder and the names of studies."""

from __future__ import annotations

import os
from pathlib import Path

from optbench.errors import ConfigError, printable
from optbench.files import expanded

LONGEST_NAME = 255  # bytes of a folder's name


def results_root(given: str | Path | None) -> Path:
    """Return the results folder: as given, else $OPTBENCH_RESULTS_DIR, else ./results."""
    return expanded(given or os.environ.get("OPTBENCH_RESULTS_DIR") or "results")


def check_study(study: str) -> None:
    """Raise ConfigError for a study whose name is not a plain folder name."""
    if not study or study.startswith(".") or "/" in study or "\\" in study:
        raise ConfigError(f"--study {shortened(study)}: expected a plain folder name, without / and a leading dot")
    if printable(study) != study:
        raise ConfigError(f"--study {shortened(study)}: control characters cannot be part of a name")
    size = len(os.fsencode(study))
    if size > LONGEST_NAME:
        raise ConfigError(
            f"--study {shortened(study)}: the name has {size} bytes, and a folder's at most {LONGEST_NAME}"
        )


def shortened(name: str) -> str:
    """Return a name as a message shows it."""
    return repr(printable(name if len(name) <= 60 else f"{name[:57]}..."))
