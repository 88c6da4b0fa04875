"""The numbers of a record, for trackers that take numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optbench.config.trees import flatten
from optbench.records import Record, is_finite

FACTS = ("run_id", "study", "stage", "trial_id", "algorithm", "implementation", "hardware", "data")


def scalars(record: Record) -> dict[str, float]:
    """Return the finite numbers of a record by column."""
    counts = {"samples": record.samples, "train_seconds": record.train_seconds, "wall_seconds": record.wall_seconds}
    known = {**record.values, **counts}
    return {name: float(value) for name, value in known.items() if value is not None and is_finite(value)}


def settings(run: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings and facts of run.json as texts by dotted key."""
    facts = {key: run[key] for key in FACTS if run.get(key) is not None}
    return {key: str(value) for key, value in flatten({**run.get("config", {}), **facts}).items()}
