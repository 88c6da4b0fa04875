"""Shampoo beside its authors' code, which merges dimensions down to two here and keeps its factors in float64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from authors_code import authors_package, distance
from torch import Tensor

pytestmark = pytest.mark.authors
COMMIT = "f60660661194de26d3ee78bae6d15820ff8e583d"
SHAPES = ((3, 5), (6, 4), (5, 5), (2, 7))


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("beta2", [0.99, 1.0])
@pytest.mark.parametrize("grafting", ["adam", "none"])
@pytest.mark.parametrize(
    ("interval", "start", "cap", "shapes"),
    [(1, None, 1024, (*SHAPES, (4, 3, 2, 2))), (10, None, 1024, SHAPES), (4, 7, 1024, SHAPES), (3, None, 4, SHAPES)],
)
def test_shampoo_is_its_authors(
    interval: int, start: int | None, cap: int, shapes: Any, grafting: str, beta2: float, tmp_path: Path
) -> None:
    reference = authors_package("facebookresearch/optimizers", COMMIT, "distributed_shampoo", tmp_path)
    second = beta2 if beta2 < 1 else 0.999
    grafted = reference.AdamPreconditionerConfig(beta2=second, epsilon=1e-8) if grafting == "adam" else None
    factors = reference.RootInvShampooPreconditionerConfig(
        factor_matrix_dtype=torch.float64, inv_factor_matrix_dtype=torch.float64
    )

    def build(parameters: list[Tensor]) -> Any:
        return reference.DistributedShampoo(
            parameters,
            lr=1e-3,
            betas=(0.9, beta2),
            epsilon=1e-8,
            weight_decay=0.1,
            max_preconditioner_dim=cap,
            precondition_frequency=interval,
            start_preconditioning_step=-1 if start is None else start,
            grafting_config=grafted,
            preconditioner_config=factors,
            distributed_config=reference.SingleDeviceDistributedConfig(target_parameter_dimensionality=2),
        )

    settings = {"betas": f"[0.9,{beta2}]", "eps": 1e-8, "weight_decay": 0.1, "interval": interval, "no_decay": "[]"}
    settings |= {"grafting": grafting, "max_preconditioner_dim": cap}
    settings |= {"start_preconditioning_step": start or "null"}
    overrides = [f"optimizer.{name}={value}" for name, value in settings.items()]
    assert distance(["optimizer=shampoo", *overrides], build, shapes) < 1e-6
