"""Shared fixtures: a clean environment, and runs made in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.run import Ended, execute

QUICK = ("model=mlp", "data=digits", "tracker=none", "threads=1")
KEPT = ("OPTBENCH_DATA_DIR", "OPTBENCH_CACHE_DIR")
VOLATILE = {"train_seconds", "wall_seconds", "samples_per_second", "step_ms_median", "step_ms_p95", "resident_bytes"}


@pytest.fixture(scope="session", autouse=True)
def token_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Text is tokenised once for all tests, into a folder of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, token_cache: None) -> None:
    """No setting of the person who runs the tests reaches them; their data folder and the tests' own cache do."""
    for name in list(os.environ):
        if name.startswith(("OPTBENCH_", "WANDB_")) and name not in KEPT:
            monkeypatch.delenv(name)


@pytest.fixture
def quick_run(tmp_path: Path) -> Callable[..., Ended]:
    """Run an MLP on digits, with further overrides, in a results folder of the test."""

    def run(*overrides: str, **options: Any) -> Ended:
        return execute(config.load([*QUICK, *overrides]), tmp_path / "results", **options)

    return run


def same_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without what may differ between two runs of one configuration: times and memory."""
    return [{key: value for key, value in row.items() if key not in VOLATILE} for row in rows]
