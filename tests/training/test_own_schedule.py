"""Schedules of one's own: functions of the progress, tried before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import rows_of

from optbench import config
from optbench.errors import ConfigError
from optbench.sessions.execute import FinishedRun
from optbench.training.own_schedule import factor_of

OWN = """
import math
import torch

def power(progress, *, exponent=2.0):
    return (1 - progress) ** exponent

def tensor(p): return torch.tensor(1.0) - p
def rises(p, warmup=0.1): return min(1.0, p / warmup)
def negative(p): return 0.5 - p
def nan(p): return math.nan if p > 0.7 else 1.0
def infinite(p): return math.inf
def text(p): return "1.0"
def truth(p): return True
def nothing(p): pass
def pair(p): return 1.0, 2.0
def zero(p): return 0.0
def raises(p): return 1 / abs(p - 0.5)
def takes_nothing(): return 1.0
class Class:
    def __init__(self, p): pass
required = lambda p, exponent: p
constant = 3
"""
BAD = {
    "negative": r"at progress 0.6 returns -0.0999\d+\nReturn the share of the peak",
    "nan": r"at progress 0.8 returns nan",
    "infinite": r"at progress 0 returns inf",
    "text": r"returns 1.0 \(str\)",
    "truth": r"returns True",
    "nothing": r"returns None \(NoneType\)",
    "pair": r"returns \(1.0, 2.0\) \(tuple\)",
    "zero": r"is 0 at every progress",
    "raises": r"at progress 0.5: own.py, line \d+: ZeroDivisionError",
    "takes_nothing": r"takes_nothing is no schedule\nGive a function of the progress",
    "Class": r"Class is no schedule",
    "constant": r"constant, a value of type int, cannot be called",
    "required": r"schedule.exponent: a value is missing",
}


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path}/own.py"


def test_the_factor_is_the_function_of_steps_done_over_all_steps(own: str) -> None:
    factor = factor_of(f"{own}:power", 10, exponent=3.0)
    assert [factor(step) for step in range(10)] == [(1 - step / 10) ** 3.0 for step in range(10)]


def test_the_learning_rate_follows_it(own: str, quick_run: Callable[..., FinishedRun]) -> None:
    settings = ("steps=8", "record_every=1", "optimizer.lr=0.5", "optimizer=sgd")
    ended = quick_run(*settings, f"schedule={own}:power", "schedule.exponent=1")
    rates = [row["lr"] for row in rows_of(ended) if row["split"] == "train"]
    assert rates == pytest.approx([0.5 * (1 - step / 8) for step in range(8)])
    same = quick_run(*settings, f"schedule={own}:tensor")
    assert same.result["weights_sha256"] == ended.result["weights_sha256"]


def test_a_warm_up_is_scaled_as_others_are(own: str, quick_run: Callable[..., FinishedRun]) -> None:
    settings = ("steps=8", "record_every=1", "optimizer.lr=1.0", "optimizer=sgd", f"schedule={own}:rises")
    ended = quick_run(*settings, "schedule.warmup=0.25", "scale_warmup=linear", "scale_from=32", "batch_size=64")
    assert [row["lr"] for row in rows_of(ended) if row["split"] == "train"][:5] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_settings_are_typed(own: str) -> None:
    loaded = config.load([f"schedule={own}:power", "schedule.exponent=3"])
    assert (loaded.schedule.name, loaded.schedule.settings) == ("power", {"exponent": 3.0})
    with pytest.raises(ConfigError, match=r"schedule.exponent=big: expected a number"):
        config.load([f"schedule={own}:power", "schedule.exponent=big"])


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_one_error_before_training(name: str, own: str, quick_run: Callable[..., FinishedRun]) -> None:
    with pytest.raises(ConfigError, match=BAD[name]):
        quick_run("steps=4" if name == "raises" else "steps=5", f"schedule={own}:{name}")
