"""A package that is not installed is one clear error, with the command that installs it, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from optbench.errors import MissingError, package_errors
from optbench.sessions.execute import FinishedRun

PACKAGE = Path(__file__).resolve().parent.parent.parent
IMAGES = "run data=hf data.path=some/set model=resnet tracker=none"
SWEEP = "sweep model=mlp optimizer=lion,sgd steps=2 --seeds 1 --jobs 1"
SLOW = pytest.mark.slow
CASES = [
    ("datasets", IMAGES, "datasets"),
    ("datasets", IMAGES.replace("run", "sweep optimizer=lion --trials 1 --jobs 1"), "datasets"),
    ("optuna", f"{SWEEP} --trials 2 --sampler tpe", "optbench[search]"),
    ("polars", "report results -o out", "polars"),
    pytest.param("matplotlib", "report results -o out", "matplotlib", marks=SLOW),
    pytest.param("timm", "run model=vit tracker=none", "timm", marks=SLOW),
    pytest.param("transformers", "run model=bert tracker=none", "transformers", marks=SLOW),
    pytest.param("tokenizers", "run model=gpt data=text data.path=text.txt tracker=none", "tokenizers", marks=SLOW),
    pytest.param("polars", "run model=mlp data=diabetes tracker=none", "polars", marks=SLOW),
    pytest.param("scipy", f"{SWEEP} --trials 2", "scipy", marks=SLOW),
    pytest.param("sklearn", "run model=mlp tracker=none", "scikit-learn", marks=SLOW),
    pytest.param("PIL", "run model=resnet data=imagefolder data.path=images tracker=none", "pillow", marks=SLOW),
    pytest.param("pydantic", "sweep study.yaml", "pydantic", marks=SLOW),
    pytest.param("safetensors", "run model=mlp init=w.safetensors tracker=none", "safetensors", marks=SLOW),
    pytest.param("submitit", f"{SWEEP} --trials 2 --executor slurm", "optbench[slurm]", marks=SLOW),
    pytest.param("ray", f"{SWEEP} --trials 2 --executor ray", "optbench[ray]", marks=SLOW),
    pytest.param("wandb", "report --wandb a/b -o out", "wandb", marks=SLOW),
    pytest.param("torchvision", "bench input data=imagefolder data.path=images", "torchvision", marks=SLOW),
    pytest.param("optimi", "run model=mlp optimizer.impl=optimi", "optbench[peers]", marks=SLOW),
]


@pytest.mark.parametrize(("package", "words", "install"), CASES)
def test_every_command_says_what_to_install(
    package: str, words: str, install: str, tmp_path: Path, quick_run: Callable[..., FinishedRun]
) -> None:
    prepare(tmp_path)
    if words.startswith("report results"):
        quick_run("steps=1")
    done = without(package, words.split(), tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("optbench:")]
    assert (package in line or install in line) and install in done.stderr and "pip install" in done.stderr


def prepare(folder: Path) -> None:
    """Write what the commands read."""
    (folder / "text.txt").write_text("a few words of text\n" * 500)
    (folder / "w.safetensors").write_bytes(b"")
    (folder / "study.yaml").write_text("overrides: [model=mlp, optimizer=lion]\ntrials: 1\nseeds: 1\n")
    for number, name in enumerate(("one", "two")):
        for index in range(10):
            file = folder / "images" / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (25 * index, 90 * number, 0)).save(file)


def without(package: str, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where neither it nor its processes can import the package."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    paths = os.pathsep.join([str(folder / "site"), str(PACKAGE)])
    environment = {**os.environ, "PYTHONPATH": paths, "OPTBENCH_RESULTS_DIR": str(folder / "results")}
    return subprocess.run(
        [sys.executable, "-m", "optbench", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_a_package_missed_in_the_midst_of_a_run_ends_it_so(
    quick_run: Callable[..., FinishedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be installed, and the run resumed: it has no result."""
    from optbench.training.evaluation import Evaluator

    def scores(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'sklearn.metrics'", name="sklearn.metrics")

    monkeypatch.setattr(Evaluator, "scores_and_pictures", scores)
    with pytest.raises(MissingError, match="sklearn is not installed") as caught:
        quick_run("steps=2", "eval_every=1")
    assert caught.value.hint == "Install it: pip install scikit-learn"
    monkeypatch.undo()
    assert quick_run("steps=2", "eval_every=1").result["status"] == "completed"


def test_a_missing_module_of_optbench_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError), package_errors():
        import optbench.nothing  # type: ignore[import-not-found]  # noqa: F401
