"""Peaks of a device's memory: training and evaluation apart, without what comes before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.records import COLUMNS
from optbench.sessions.assemble import assemble
from optbench.sessions.run_documents import bytes_by_kind
from optbench.training.evaluation import Evaluator
from optbench.training.loop import Trainer
from optbench.training.memory import PEAKS, MemoryMeter, release_cache
from optbench.training.player import ActivePlayer

SECOND = torch.device("cuda:1")


class FakeMemory:
    """The counters that torch keeps for a CUDA device: `use` allocates and frees; the cache keeps what it reserved."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.peak = self.cache = self.reserved_peak = 0
        patch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.of(device, self.peak))
        patch.setattr(torch.cuda, "max_memory_reserved", lambda device: self.of(device, self.reserved_peak))
        patch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)

    def of(self, device: torch.device, value: int) -> int:
        """Return a counter of the device that the meter is for."""
        assert device == SECOND
        return value

    def use(self, size: int) -> None:
        """Allocate and free."""
        self.peak, self.cache = max(self.peak, size), max(self.cache, size)
        self.reserved_peak = max(self.reserved_peak, self.cache)

    def reset(self, device: torch.device) -> None:
        """Reset the peaks to what is held now."""
        self.peak, self.reserved_peak = self.of(device, 0), self.cache


def test_peaks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeMemory(monkeypatch)
    fake.use(9000)  # an earlier run of this process, whose cache was emptied
    fake.cache = 0
    meter = MemoryMeter(SECOND)
    with meter.evaluating():
        fake.use(300)
    fake.use(5000)  # a dry step
    meter.begin()
    fake.use(100)
    with meter.evaluating():
        fake.use(700)
    fake.use(40)
    assert meter.peaks() == dict(zip(PEAKS, (100, 5000, 700), strict=True))
    fake.use(200)
    with pytest.raises(RuntimeError), meter.evaluating():
        fake.use(6000)
        raise RuntimeError
    assert meter.peaks() == dict(zip(PEAKS, (200, 6000, 6000), strict=True))


def test_a_cpu_has_no_peaks() -> None:
    assert set(MemoryMeter(torch.device("cpu")).peaks().values()) == {None}


def before(patch: pytest.MonkeyPatch, owner: Any, name: str, action: Callable[[], None]) -> None:
    """Call `action` whenever a method is called."""
    method = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        action()
        return method(*args, **kwargs)

    patch.setattr(owner, name, called)


def test_a_run_tells_training_from_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is on the CPU; the counters are those of a device whose use is known."""
    fake = FakeMemory(monkeypatch)
    before(monkeypatch, Trainer, "dry_step", lambda: fake.use(5000))
    before(monkeypatch, ActivePlayer, "step", lambda: fake.use(100))
    before(monkeypatch, Evaluator, "scores", lambda: fake.use(900))
    before(monkeypatch, Evaluator, "scores_and_pictures", lambda: fake.use(800))
    objects = assemble(config.load([*QUICK, "device=cpu", "steps=4", "eval_every=2"]))
    objects.trainer.memory = MemoryMeter(SECOND)
    seen = []
    for record in objects.trainer.records():
        seen.append((str(record.split), *objects.trainer.memory.peaks().values()))
    assert seen[0] == ("validation", 100, 5000, 800)
    assert seen[-1] == ("test", 100, 5000, 900)
    found = bytes_by_kind(objects)
    assert [found[name] for name in PEAKS] == [100, 5000, 900]


def test_every_peak_is_in_the_dictionary() -> None:
    assert {f"{name}_bytes" for name in PEAKS} <= set(COLUMNS)


def test_fitting_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("emptied"))
    release_cache(torch.device("cpu"))
    assert not emptied
    release_cache(SECOND)
    assert emptied == ["emptied"]
