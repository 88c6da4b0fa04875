"""Every embedded workload beats the trivial answer by the margin in its model's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.benches import workloads
from optbench.sessions.session import execute

MODELS = config.options([config.packaged_folder()], "model")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_beats_the_trivial_answer(model: str) -> None:
    row = workloads.train(model, "0", config.load([]))
    assert row["holds"], workloads.line(row)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_states_its_required_margin(model: str) -> None:
    beats = config.load([f"model={model}"]).model.about["beats"]
    assert ("by" in beats) != ("factor" in beats)
    assert beats.get("by", 1) > 0
    assert 0 < beats.get("factor", 0.5) <= 0.5
    assert beats.get("optimizer", "adamw") in config.options([config.packaged_folder()], "optimizer")


@pytest.mark.parametrize("model", MODELS)
def test_an_untrained_model_does_not_beat_the_trivial_answer(model: str, tmp_path: Path) -> None:
    loaded = config.load(
        [
            f"model={model}",
            "steps=1",
            "batch_size=4",
            "optimizer.lr=0",
            "threads=1",
            "tracker=none",
            "eval_train_samples=64",
        ]
    )
    result = execute(loaded, tmp_path).result
    assert not workloads.beats_trivial(loaded.model.about["beats"], result["direction"], result["final"])


def test_margins_by_hand() -> None:
    assert workloads.within({"by": 0.2}, "min", 3.0, 3.2)
    assert not workloads.within({"by": 0.2}, "min", 3.01, 3.2)
    assert workloads.within({"by": 0.5}, "max", 0.7, 0.1)
    assert not workloads.within({"by": 0.5}, "max", 0.5, 0.1)
    assert workloads.within({"factor": 0.5}, "min", 1.0, 2.0)
    assert not workloads.within({"factor": 0.5}, "min", float("nan"), 2.0)
