"""The configuration of every optimizer in every installed implementation, loaded once for all tests."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from conftest import QUICK

from optbench.checks.matrix import matrix_configs
from optbench.config import RunConfig


@functools.cache
def every_optimizer() -> list[RunConfig]:
    return list(matrix_configs(None, QUICK))


def parameters(*without: str) -> list[Any]:
    """Return the configurations as pytest's parameters, without optimizers of some needs; compiled ones are slow."""
    return [
        pytest.param(
            loaded,
            id=f"{loaded.optimizer.name}-{loaded.optimizer.settings['impl']}",
            marks=[pytest.mark.slow] if loaded.optimizer.implementation.get("engine") == "compiled" else [],
        )
        for loaded in every_optimizer()
        if not set(without) & set(loaded.optimizer.about.get("needs", ()))
    ]
