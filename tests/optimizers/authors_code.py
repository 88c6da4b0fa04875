"""Our rules beside their authors' own code, read from clones that a developer has; none of it is kept here.

    OPTBENCH_AUTHORS_CODE=FOLDER pytest -m authors        FOLDER/OWNER+NAME is a git clone (bare or not)

Each `test_authors_*.py` builds the authors' class from a file at a named commit and calls `distance`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from optbench import config
from optbench.checks.subject import make_subject

FOLDER = "OPTBENCH_AUTHORS_CODE"
CLONES = os.environ.get(FOLDER, "")  # read at import: a test has no variables of optbench
SHAPES = ((7,), (3, 5), (6, 4), (5, 5))


def authors(repository: str, commit: str, path: str) -> ModuleType:
    """Return a module of the authors' repository OWNER/NAME at a commit; skip the test without a clone of it."""
    text = subprocess.run(
        ["git", f"--git-dir={clone(repository)}", "show", f"{commit}:{path}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    name = f"authors_{repository.replace('/', '_').replace('-', '_')}_{Path(path).stem}"
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"{name}.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module


def authors_package(repository: str, commit: str, package: str, place: Path) -> ModuleType:
    """Return a package of the authors' repository, whose modules import each other; its files go to a folder."""
    command = ["git", f"--git-dir={clone(repository)}", "archive", commit, package]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(place)], input=archive, check=True)
    sys.path.insert(0, str(place))
    try:
        return importlib.import_module(package)
    finally:
        sys.path.remove(str(place))


def clone(repository: str) -> Path:
    """Return the git directory of a repository OWNER/NAME; skip the test without one."""
    folder = Path(CLONES) / repository.replace("/", "+")
    places = (folder, folder / ".git", folder / "repo", folder / "repo/.git")
    git = next((place for place in places if (place / "HEAD").is_file()), None)
    if not CLONES or git is None:
        pytest.skip(f"{FOLDER} has no clone of {repository}")
    return git


def distance(
    overrides: Sequence[str],
    build: Callable[[list[Tensor]], Any],
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    steps: int = 100,
    dtype: torch.dtype = torch.float64,
    skip_first: int = 0,
    factors: Callable[[int], float] | None = None,
) -> float:
    """Return the largest difference between our parameters and theirs over all steps, as a share of the displacement.

    `overrides` configure ours; `build(parameters)` makes theirs. Both get the same gradients, with a drift and noise.
    `factors(t)` multiplies every learning rate in step t, from 1. Ours rests in the first `skip_first` steps."""
    random = np.random.default_rng(5)
    starts = [torch.tensor(random.standard_normal(shape), dtype=dtype) for shape in shapes]
    drifts = [random.standard_normal(shape) for shape in shapes]
    ours, theirs = ([start.clone().requires_grad_() for start in starts] for _ in range(2))
    optimizers = (make_subject(config.load(list(overrides))).build(ours), build(theirs))
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    apart = 0.0
    for t in range(1, steps + 1):
        gradients = [torch.tensor(drift + random.standard_normal(drift.shape), dtype=dtype) for drift in drifts]
        for thetas, optimizer, base in zip((ours, theirs), optimizers, rates, strict=True):
            for theta, gradient in zip(thetas, gradients, strict=True):
                theta.grad = gradient.clone()
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * (factors(t) if factors else 1.0)
            if thetas is theirs or t > skip_first:
                optimizer.step()
        for mine, other, start in zip(ours, theirs, starts, strict=True):
            moved = float((other.detach() - start).abs().max())
            if moved > 0:
                apart = max(apart, float((mine.detach() - other.detach()).abs().max()) / moved)
    return apart
