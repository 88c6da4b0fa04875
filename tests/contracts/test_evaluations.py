"""Equal budgets need this: a run counts as many gradient evaluations per step as the optimizer's file declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.sessions.session import execute
from optbench.sweeps.study.expand import evaluations_of

STEPS = 20  # a multiple of every interval in the files
SMALL = ("model=mlp", "batch_size=8", "eval_train_samples=8", "threads=1", "tracker=none", f"steps={STEPS}")
SMALL = (*SMALL, f"eval_every={STEPS}", "keep_checkpoint=false")
OPTIMIZERS = config.options([config.packaged_folder()], "optimizer")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_counts_the_gradient_evaluations_that_the_file_declares(optimizer: str, tmp_path: Path) -> None:
    loaded = config.load([f"optimizer={optimizer}", *SMALL])
    result = execute(loaded, tmp_path).result
    assert result["status"] == "completed", result["reason"]
    counted, declared = result["gradient_evaluations"], evaluations_of(loaded.optimizer)
    if declared is None:
        assert counted > STEPS
        assert counted % STEPS  # else the file could declare a number
    else:
        assert counted == pytest.approx(STEPS * declared)


@pytest.mark.parametrize("every", [1, 5, 20])
def test_the_interval_of_the_configuration_decides(every: int, tmp_path: Path) -> None:
    loaded = config.load(["optimizer=sophia_g", f"optimizer.interval={every}", *SMALL])
    assert evaluations_of(loaded.optimizer) == pytest.approx(1 + 1 / every)
    assert execute(loaded, tmp_path).result["gradient_evaluations"] == STEPS + STEPS // every
