"""Sweeps over data and models of the user's own: what is said at their start, and data that have changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Call

from optbench.config import notices
from optbench.sweeps.executors.base import RunNotice
from optbench.sweeps.executors.event_lines import from_line, to_line

FILES = """
from pathlib import Path
import torch
from torch import nn

def load():
    with open("calls", "a") as calls:
        calls.write("x")
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(int(Path("seed").read_text())))
    return x, (x[:, 0] > 0).long() * 3 + 4

class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.a, self.b = nn.Linear(inputs, classes), nn.Linear(inputs, classes)

    def forward(self, x):
        return self.a(x) + self.b(x)
"""
WORDS = ("data=./mine.py:load", "model=./mine.py:Net", "steps=3", "threads=1", "device=cpu", "tracker=none")
SWEEP = ("sweep", "optimizer=lion,adamw", *WORDS, "--trials", "1", "--study", "s")


@pytest.fixture
def folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, and data that depend on another file."""
    (here / "mine.py").write_text(FILES)
    (here / "seed").write_text("0")
    monkeypatch.setattr(notices, "_said", set())
    return here


def test_notices_are_said_once_at_the_start_of_a_sweep(folder: Path, call: Call) -> None:
    code, _, err = call(*SWEEP, "--seeds", "2")
    assert code == 0, err
    for notice in ("the labels 4 and 7 are numbered 0 to 1", "20 test samples and 20 validation", "can't be told"):
        (line,) = [number for number, text in enumerate(err.splitlines()) if notice in text]
        assert line < len(err.splitlines()) - 2
    assert all("can't be told" in log.read_text() for log in (folder / "results/s/logs").iterdir())


def test_a_finished_sweep_is_not_shown_for_other_data(folder: Path, call: Call) -> None:
    assert call(*SWEEP, "--seeds", "1")[0] == 0
    (folder / "calls").unlink()
    code, _, err = call(*SWEEP, "--seeds", "1")
    assert (code, "already finished" in err) == (0, True)
    assert (folder / "calls").read_text() == "xx"  # a quick function is called twice, to see that it gives the same
    (folder / "seed").write_text("1")
    for seeds in ("1", "2"):
        code, out, err = call(*SWEEP, "--seeds", seeds)
        assert (code, out) == (2, "")
        assert "s: data=load is no longer what its finished runs were trained on" in err
        assert "Choose another --study" in err
    (folder / "seed").write_text("0")
    assert call(*SWEEP, "--seeds", "2")[0] == 0


def test_data_of_a_named_version_are_not_read_again(folder: Path, call: Call) -> None:
    words = (*SWEEP, "--seeds", "1", "data.version=v1")
    assert call(*words)[0] == 0
    (folder / "calls").unlink()
    assert call(*words)[0] == 0
    assert not (folder / "calls").exists()


def test_a_notice_passes_through_the_file_of_a_remote_worker() -> None:
    event = RunNotice("run", "data=load: the labels are classes")
    assert from_line(to_line(event)) == event
