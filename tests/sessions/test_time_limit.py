"""A run that its time limit ended goes on from its checkpoint under a longer limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import rows_of, same_records

from optbench.sessions.execute import FinishedRun
from optbench.training.clock import Clock

Run = Callable[..., FinishedRun]
WORDS = ("steps=12", "eval_every=4", "record_every=1", "checkpoint_seconds=1000")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step take a second."""
    monkeypatch.setattr(Clock, "wall_seconds", property(lambda clock: float(len(clock.step_seconds))))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("longer", ["max_seconds=100", "max_seconds=null"])
@pytest.mark.parametrize("kept", ["true", "false"])
def test_a_longer_limit_goes_on(quick_run: Run, longer: str, kept: str) -> None:
    short = quick_run(*WORDS, "max_seconds=5", f"keep_checkpoint={kept}")
    assert (short.result["status"], short.result["steps"]) == ("timed_out", 5)
    ended = quick_run(*WORDS, longer)
    assert (ended.result["status"], ended.result["resumed_from_steps"]) == ("completed", [5])
    assert quick_run(*WORDS, "max_seconds=5").result == short.result  # it stays what it was
    calm = quick_run(*WORDS, study="calm")
    assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
    assert same_records(rows_of(ended)) == same_records(rows_of(calm))


@pytest.mark.usefixtures("clock")
def test_a_limit_raised_twice_goes_on_from_the_furthest(quick_run: Run) -> None:
    steps = [quick_run(*WORDS, f"max_seconds={limit}").result["resumed_from_steps"] for limit in (3, 6, 100)]
    assert steps == [[], [3], [3, 6]]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["max_seconds=4"], {}),
        (["seed=1"], {}),
        (["optimizer.lr=0.5"], {}),
        (["max_seconds=null"], {"force": True}),
        ([], {"study": "other"}),
    ],
    ids=str,
)
def test_nothing_else_is_continued(quick_run: Run, words: list[str], options: dict[str, Any]) -> None:
    quick_run(*WORDS, "max_seconds=5")
    assert quick_run(*WORDS, *words, **options).result["resumed_from_steps"] == []
