"""Learning rate and warm-up scaled with the batch size."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from optbench import config
from optbench.sessions.execute import FinishedRun
from optbench.training.lr_scaling import lr_factor, scaled_schedule
from optbench.training.schedules import linear


@pytest.mark.parametrize(
    ("rule", "batch_size", "expected"), [("sqrt", 1024, 2.0), ("linear", 1024, 4.0), ("linear", 64, 0.25), (None, 9, 1)]
)
def test_the_learning_rate_follows_the_rule(rule: str | None, batch_size: int, expected: float) -> None:
    assert lr_factor(rule, batch_size, 256) == expected


def test_the_warm_up_keeps_its_number_of_steps() -> None:
    samples, share = 1_024_000, 0.0625
    for batch_size in (256, 512, 4096):
        steps = samples // batch_size
        settings = scaled_schedule({"warmup": share, "floor": 0.0}, "linear", batch_size, 256)
        factor = linear(steps=steps, **settings)
        assert factor(0) == pytest.approx(1 / 251)
        assert factor(249) == pytest.approx(250 / 251) if steps > 250 else factor(steps - 1) < 1


def test_a_warm_up_in_steps_is_not_scaled() -> None:
    assert scaled_schedule({"warmup": 100}, "linear", 512, 256) == {"warmup": 100}
    assert scaled_schedule({"warmup": 0.0}, "linear", 512, 256) == {"warmup": 0.0}
    assert scaled_schedule({"decay": 0.1}, "linear", 512, 256) == {"decay": 0.1}
    assert scaled_schedule({"warmup": 0.4}, "linear", 1024, 256)["warmup"] < 1


def test_a_run_uses_the_scaled_learning_rate_and_fewer_steps(quick_run: Callable[..., FinishedRun]) -> None:
    def peak(*overrides: str) -> tuple[float, int]:
        ended = quick_run("samples=4096", "schedule=constant", "schedule.warmup=0", "record_every=4", *overrides)
        rows = [line for line in (ended.folder / "metrics.jsonl").read_text().splitlines() if '"lr"' in line]
        return json.loads(rows[-1])["lr"], ended.result["steps"]

    assert peak("batch_size=64") == (pytest.approx(1e-3), 64)
    assert peak("batch_size=256", "scale_lr=sqrt", "scale_from=64") == (pytest.approx(2e-3), 16)
    assert peak("batch_size=256", "scale_lr=linear", "scale_from=64") == (pytest.approx(4e-3), 16)


def test_run_ids_change_only_with_scaling() -> None:
    assert "scale_lr" not in config.load([]).identity
    assert config.load([]).run_id != config.load(["scale_lr=sqrt", "scale_from=32"]).run_id
