"""The curves of very many runs: fewer points, fewer seeds, never more than a page can hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_runs import write_study

from optbench.reports.build.curves import BAND_POINTS, LEAST, POINTS, bands, curves
from optbench.reports.contenders import contenders_of
from optbench.reports.read.reading import read
from optbench.reports.read.series import RunSeries
from optbench.reports.read.study_file import cells_of


@pytest.mark.parametrize(("drawn", "seeds"), [(20, 10), (2000, 5), (100_000, 1)])
def test_of_very_many_runs_the_first_seeds_are_drawn(tmp_path: Path, drawn: int, seeds: int) -> None:
    results = read(write_study(tmp_path, {"a": [0.5] * 10, "b": [0.6] * 10}))
    contenders = contenders_of(results.runs, cells_of(results.studies))
    steps = np.arange(1.0, 2001.0)
    one = RunSeries(steps, steps, steps / 10, steps / 10, np.sin(steps / 50))
    found = {"val_metric": {run["run_id"]: one for run in results.runs}}
    made = curves(contenders, found, drawn)
    assert len(made) == 2 * seeds
    assert all(len(curve.step) <= max(2 * LEAST, 2 * POINTS / drawn) for curve in made)
    assert all(len(band.step) <= BAND_POINTS for band in bands(contenders, found, drawn))
