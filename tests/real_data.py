"""Real data on this machine, for tests that are skipped without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def find_real(*parts: str) -> Path | None:
    """Find a file or folder in $OPTBENCH_DATA_DIR or ../shared/data."""
    roots = [os.environ.get("OPTBENCH_DATA_DIR"), SHARED]
    return next((found for root in roots if root and (found := Path(root).joinpath(*parts)).exists()), None)


def real(*parts: str) -> Path:
    """Return a file or folder of real data, or skip the test."""
    found = find_real(*parts)
    if found is None:
        pytest.skip(f"no {'/'.join(parts)} in $OPTBENCH_DATA_DIR or {SHARED}")
    return found
