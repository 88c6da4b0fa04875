"""`optbench bench ranks`: optimizers on one rank, and on two with both strategies."""

from __future__ import annotations

import pytest

from optbench import config
from optbench.benches import ranks
from optbench.errors import ConfigError


@pytest.mark.slow
def test_each_strategy_is_measured_and_fsdp_divides_the_state() -> None:
    loaded = config.load(["model=mlp", "threads=1", "device=cpu"])
    report = ranks.measure(loaded, optimizers="muon,sam", ranks=2, steps=3)
    ways = [(row["optimizer"], row["way"], row["layout"]) for row in report["rows"]]
    assert ways == [
        ("muon", "one", ""),
        ("muon", "ddp", ""),
        ("muon", "fsdp", "tensors"),
        ("sam", "one", ""),
        ("sam", "ddp", ""),
    ]
    one, ddp, fsdp = report["rows"][:3]
    assert ddp["state_bytes"] == one["state_bytes"]
    assert fsdp["state_bytes"] < 0.8 * one["state_bytes"]
    assert all(row["step_ms"] >= row["optimizer_ms"] > 0 for row in report["rows"])
    text = ranks.lines(report)
    assert len(text) == 2 + len(ways)
    assert text[4].count(" x") == 2
    assert text[2].count(" x") == 0


def test_one_rank_is_refused() -> None:
    with pytest.raises(ConfigError, match="ranks=1"):
        ranks.measure(config.load([]), optimizers="", ranks=1, steps=3)
