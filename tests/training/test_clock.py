"""The clock: time by phase."""

from __future__ import annotations

import time

import pytest
import torch

from optbench.training.clock import BACKWARD, CHECKPOINT, DATA, FORWARD, OTHER, Clock


def test_phases_add_up_and_steps_count_only_training() -> None:
    clock = Clock()
    clock.to(DATA)
    time.sleep(0.02)
    clock.to(FORWARD)
    with clock.during(CHECKPOINT):
        time.sleep(0.03)
    clock.to(OTHER)
    clock.end_step()
    seconds = clock.seconds()
    assert seconds["data"] == pytest.approx(0.02, abs=0.01)
    assert seconds["checkpoint"] == pytest.approx(0.03, abs=0.01)
    assert clock.train_seconds == pytest.approx(seconds["data"] + seconds["forward"])
    assert list(clock.step_seconds) == [pytest.approx(clock.train_seconds)]
    clock.to(OTHER)
    assert sum(clock.seconds().values()) == pytest.approx(clock.wall_seconds, abs=0.005)


def test_a_resumed_clock_continues() -> None:
    first = Clock()
    first.to(BACKWARD)
    time.sleep(0.02)
    first.to(OTHER)
    first.end_step()
    state = first.state_dict()
    assert isinstance(state["step_seconds"], torch.Tensor)
    second = Clock()
    second.load_state_dict(state)
    assert second.train_seconds == pytest.approx(first.train_seconds)
    assert second.wall_seconds >= 0.02
    assert len(second.step_seconds) == 1
