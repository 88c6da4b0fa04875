"""The studies for ten minutes of a GPU: they compose, stop in time, go on, and need few packages."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from optbench.sweeps.options import SweepOptions
from optbench.sweeps.start import planned_study

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "gpu"
ABSENT = ("optuna", "polars", "wandb", "datasets")  # on the device machine


def imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text("".join(f"Line {number} says that {number * 7 % 31} words are enough.\n" for number in range(900)))
    return file


@pytest.fixture
def sheets(tmp_path: Path) -> Path:
    folder = tmp_path / "sheets"
    (folder / "a").mkdir(parents=True)
    for number in (0, 2):
        pixels = np.random.default_rng(number).integers(0, 256, (500 * 32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "a" / f"sheet_{number:03}.webp", lossless=True)
    np.save(folder / "labels.npy", (np.arange(1500) % 3).astype(np.uint8))
    return folder


@pytest.mark.parametrize("scale", ["h100", "rehearsal"])
def test_the_studies_compose(scale: str, text: Path, sheets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CIFAR_SHEETS", str(sheets))
    device = ["device=cpu", "precision=fp32"]
    how = SweepOptions(scale=scale, trust=True)
    study, cells = planned_study(FOLDER / "gpt-text.yaml", [f"data.path={text}", *device], {}, how)
    assert len(cells) == 4 * len(study.budgets) and study.claim
    study, cells = planned_study(FOLDER / "lion-vit.yaml", device, {}, how)
    assert len(cells) == 2 and study.claim


def test_sheets_keep_their_labels(sheets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFAR_SHEETS", str(sheets))
    (images, labels), (test_images, test_labels) = imported("sheets").load()
    assert images.shape == (834, 32, 32, 3) and len(test_images) == 166
    assert [*labels, *test_labels] == [n % 3 for n in (*range(500), *range(1000, 1500))]
    assert np.array_equal(images[0], np.random.default_rng(0).integers(0, 256, (16000, 32, 3), dtype=np.uint8)[:32])


def test_a_sweep_is_stopped_in_time() -> None:
    script = imported("ten_minutes")
    started = time.monotonic()
    assert script.run_for([sys.executable, "-c", "import time; time.sleep(60)"], 1.0, None) is None
    assert time.monotonic() - started < 30
    assert script.run_for([sys.executable, "-c", "raise SystemExit(3)"], 60.0, None) == 3


def test_no_step_begins_after_the_time(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = imported("ten_minutes")
    monkeypatch.setattr(script, "run_for", lambda *_: pytest.fail("started"))
    assert script.main(["--text", str(text), "--minutes", "0.1", "--results", str(tmp_path)]) == script.TIME_OUT


@pytest.mark.slow
def test_a_rehearsal_that_is_stopped_goes_on(text: Path, sheets: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"import sys\nfor name in {ABSENT!r}:\n    sys.modules[name] = None\n")
    words = [sys.executable, str(FOLDER / "ten_minutes.py"), "--scale", "rehearsal", "--jobs", "2"]
    words += ["--text", str(text), "--images", str(sheets), "--results", str(tmp_path / "results")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def call(minutes: str) -> tuple[int, str]:
        found = [*words, "--minutes", minutes]
        done = subprocess.run(found, env=environment, capture_output=True, text=True, timeout=900)
        return done.returncode, done.stdout + done.stderr

    code, out = call("1.2")
    assert code == 3 and "time ran out: the same command goes on" in out
    ended = finished(tmp_path)
    code, out = call("14")
    assert code == 0, out
    later = finished(tmp_path)
    assert len(later) == 24 + 6 and {run: later[run] for run in ended} == ended
    assert f"{len(ended)} already finished" in out


def finished(folder: Path) -> dict[str, float]:
    """Return when each run with a result ended."""
    files = (folder / "results").rglob("result.json")
    return {file.parent.name: file.stat().st_mtime for file in files if json.loads(file.read_text())["status"]}
