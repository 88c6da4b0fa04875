"""`optbench bench pack`: its table, from real sweeps."""

from __future__ import annotations

import pytest

from optbench import config
from optbench.benches import pack
from optbench.errors import ConfigError


@pytest.mark.slow
def test_packs_are_compared_with_runs_alone() -> None:
    small = config.load(["model=mlp", "optimizer=lion", "steps=20", "device=cpu", "threads=1"])
    report = pack.measure(small, packs="1,3", runs=3)
    assert [(row["pack"], row["runs"], row["together"]) for row in report["rows"]] == [(1, 4, 0), (3, 4, 3)]
    assert report["rows"][0]["largest_difference"] == 0
    assert report["rows"][1]["largest_difference"] < 1e-3
    for row in report["rows"]:
        assert row["runs_per_hour"] == pytest.approx(3600 * 4 / row["seconds"])
    assert pack.lines(report)[3].startswith("| 3 | 4 | 3 | ")


@pytest.mark.parametrize("text", ["", "0", "two", "1,-4"])
def test_packs_are_whole_numbers_from_one(text: str) -> None:
    with pytest.raises(ConfigError, match="packs="):
        pack.sizes(text)
