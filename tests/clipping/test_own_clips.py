"""Clips of one's own: functions that change gradients in place, and subclasses of Clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import rows_of

from optbench import config
from optbench.distributed.layouts import check_shardable
from optbench.errors import ConfigError
from optbench.sessions.execute import FinishedRun

OWN = """
import torch
from optbench.clipping import Clip, ClipReport, gradient_norm

def global_norm(parameters, *, max_norm=1.0):
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm)

def untouched(parameters): pass

def halve(parameters, *, share=0.5):
    for parameter in parameters:
        parameter.grad *= share

class Halve(Clip):
    def __init__(self, problem, *, share: float = 0.5):
        super().__init__(problem)
        self.share = share
    def apply(self, parameters, advance):
        norm = gradient_norm(parameters, self.reductions)
        for parameter in parameters:
            parameter.grad *= self.share
        return ClipReport(norm, norm > 0, torch.full((), self.share))

def removes(parameters):
    for parameter in parameters:
        parameter.grad = None
def reshapes(parameters):
    for parameter in parameters:
        parameter.data = parameter.data.flatten()
def raises(parameters): return [][1]
def takes_nothing(): pass
class Bare:
    def __init__(self, problem): pass
class Silent(Clip):
    def apply(self, parameters, advance): pass
constant = 3
"""
Run = Callable[..., FinishedRun]
BEFORE = {
    "takes_nothing": r"takes_nothing is no clip: it takes no parameters to clip",
    "Bare": r"Bare builds no clip: Bare has no '__call__'\n.*inherit from optbench.clipping.Clip",
    "constant": r"constant, a value of type int, cannot be called",
}
DURING = {
    "removes": "leaves a parameter without a gradient of its shape",
    "reshapes": "leaves a parameter without a gradient of its shape",
    "Silent": "Silent.apply returns a NoneType",
}


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path}/own.py"


def measured(ended: FinishedRun) -> list[tuple[float, float, float]]:
    names = ("grad_norm", "clip_fraction", "clip_scale")
    return [tuple(row[name] for name in names) for row in rows_of(ended) if row["split"] == "train"]  # type: ignore[misc]


@pytest.mark.parametrize("clip", ["own.py:global_norm", "torch.nn.utils.clip_grad_norm_"])
def test_a_function_clips_and_is_measured_as_the_packaged_one(
    clip: str, tmp_path: Path, own: str, quick_run: Run
) -> None:
    settings = ("steps=12", "record_every=3", "clip.max_norm=0.25")
    packaged = quick_run(*settings, "clip=global_norm")
    ended = quick_run(*settings, f"clip={tmp_path}/{clip}" if ".py" in clip else f"clip={clip}")
    assert ended.result["weights_sha256"] == packaged.result["weights_sha256"]
    for found, expected in zip(measured(ended), measured(packaged), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert any(fraction > 0 for _, fraction, _ in measured(ended))


def test_a_function_that_changes_nothing_clips_nothing(own: str, quick_run: Run) -> None:
    assert {(fraction, scale) for _, fraction, scale in measured(quick_run("steps=4", f"clip={own}:untouched"))} == {
        (0.0, 1.0)
    }


@pytest.mark.parametrize("extra", [(), ("optimizer=sam",), ("micro_batch=16",), ("precision=bf16",)])
def test_a_class_and_a_function_are_one(extra: tuple[str, ...], own: str, quick_run: Run) -> None:
    one, other = (quick_run("steps=4", f"clip={own}:{name}", "clip.share=0.25", *extra) for name in ("halve", "Halve"))
    assert one.result["weights_sha256"] == other.result["weights_sha256"]
    for found, expected in zip(measured(one), measured(other), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    assert measured(one)[-1][1:] == pytest.approx((1.0, 0.25), rel=1e-2)


def test_sharded_runs_refuse_them_with_a_reason(own: str) -> None:
    with pytest.raises(ConfigError, match=r"clip=halve.*code of your own, which may need whole tensors"):
        check_shardable(config.load([f"clip={own}:halve", "model=mlp"]))


@pytest.mark.parametrize(("name", "message"), [*BEFORE.items(), *DURING.items()])
def test_what_is_no_clip_is_one_error(name: str, message: str, own: str, quick_run: Run) -> None:
    with pytest.raises(ConfigError, match=message):
        quick_run("steps=3", f"clip={own}:{name}")


def test_an_error_of_a_clip_ends_the_run_with_its_line(own: str, quick_run: Run) -> None:
    ended = quick_run("steps=3", f"clip={own}:raises")
    assert ended.result["status"] == "failed"
    assert "own.py, line 30: IndexError: list index out of range (at step 0; see error.txt)" in ended.result["reason"]
    assert (ended.folder / "error.txt").is_file()
