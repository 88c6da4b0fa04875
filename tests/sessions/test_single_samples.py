"""Batch norm needs two values per channel: batches are cut so that it has them, or the run is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from optbench import config
from optbench.errors import ConfigError
from optbench.sessions.session import execute
from optbench.sessions.single_samples import least_samples
from optbench.training.curvature import micro_batches

RESNET = ("optimizer=sgd", "model=resnet", "model.width=4", "data=digits", "tracker=none", "threads=1", "steps=2")


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [(5, 4, [3, 2]), (9, 4, [3, 3, 3]), (8, 4, [4, 4]), (3, 2, [2, 1]), (4, 9, [4]), (0, 4, [0])],
)
def test_micro_batches_are_even(samples: int, size: int, expected: list[int]) -> None:
    batch = {"inputs": torch.arange(samples), "labels": torch.arange(samples)}
    pieces = list(micro_batches(batch, size))
    assert [len(piece["inputs"]) for piece in pieces] == expected
    assert torch.cat([piece["labels"] for piece in pieces]).tolist() == list(range(samples))


@pytest.mark.parametrize(
    ("batch_size", "micro_batch", "ranks", "together", "sharded", "least"),
    [
        (5, 4, 1, False, False, 2),
        (5, 2, 1, False, False, 1),
        (3, None, 2, False, False, 1),  # one rank has two, the other one
        (3, None, 2, True, False, 3),  # statistics over both
        (5, 1, 2, True, False, 1),  # three passes: 1 + 1, 1 + 1, 1 + 0
        (5, 2, 2, False, True, 1),  # both in two passes: 2 + 1 and 1 + 1
        (8, 2, 2, False, True, 2),
    ],
)
def test_the_smallest_pass_is_known(
    batch_size: int, micro_batch: int | None, ranks: int, together: bool, sharded: bool, least: int
) -> None:
    assert least_samples(batch_size, micro_batch, ranks, together, sharded) == least


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (("batch_size=1",), "Use batch_size=2, or"),
        (("batch_size=5", "micro_batch=2"), "Use micro_batch=3, batch_size=6, or"),
        (("batch_size=4", "micro_batch=1"), "Use micro_batch=2, or"),
    ],
)
def test_a_single_value_per_channel_is_refused_before_training(
    overrides: tuple[str, ...], hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"stages\.6\.norm1 \(BatchNorm2d\) of model=resnet a single value") as caught:
        execute(config.load([*RESNET, *overrides]), tmp_path)
    assert caught.value.hint.startswith(hint)
    assert not list(tmp_path.rglob("r*.json"))


@pytest.mark.parametrize(
    "overrides",
    [
        ("batch_size=5", "micro_batch=4"),
        ("batch_size=2", "micro_batch=1", "model.size=20"),  # its last maps have four positions
        ("model=mlp", "batch_size=1"),  # no batch norm
        ("optimizer=schedulefree", "batch_size=9", "data.validation=1400"),  # 37 samples: the last batch has one
        ("ema.decay=0.9", "batch_size=9", "data.validation=1400"),
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_runs_that_batch_norm_allows_complete(overrides: tuple[str, ...], tmp_path: Path) -> None:
    base = [part for part in RESNET if not (overrides[0] == "model=mlp" and part.startswith("model"))]
    base = [part for part in base if part.partition("=")[0] not in {text.partition("=")[0] for text in overrides}]
    run = execute(config.load([*base, *overrides]), tmp_path)
    assert run.result["status"] == "completed", run.result["reason"]
