"""How long does `optbench sweep` take to plan a large study and to find that all of its runs are finished?

    optbench bench sweep_skip runs=10000

The study is real: the sweep starts, which plans every run and does the first, and is stopped. Every planned run then
gets the files of the finished one, with its own run id and a random result. The sweep continues until its final seeds
are done. Then the same command is timed, as a user runs it: interpreter, imports, planning, reading every result, the
summary.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from optbench.benches import Report, comma_separated, goal_line
from optbench.benches.calling import timed_call
from optbench.benches.sweeping.commands import COMMAND, log_end, results, run_sweep, start_sweep, sweep_overrides
from optbench.config import RunConfig
from optbench.errors import ExpectationFailed

log = logging.getLogger(__name__)
GOAL_SECONDS, GOAL_BYTES = 3.0, 1e9
START_SECONDS = 300.0  # to plan the study and do its first run, at most


def measure(
    config: RunConfig, optimizers: str = "lion,adamw,sgd,nadam", runs: int = 10_000, seeds: int = 2, rounds: int = 3
) -> Report:
    """Return the seconds and bytes of a sweep with nothing left to run.

    `optimizers`: names separated by commas. `runs`: finished tuning runs. `seeds`: final seeds. `rounds`: timed
    calls."""
    trials = runs // len(comma_separated(optimizers))
    words = [*sweep_overrides(config, optimizers, {"steps": "30"}), "--trials", str(trials), "--seeds", str(seeds)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "results"
        study = start_study(words, root)
        count = fill_study(study)
        log.info(f"{count} results written; running the final seeds")
        tree = run_sweep(words, root).tree
        again = run_sweep(words, root).tree
        if again["runs"]["ran"]:
            raise ExpectationFailed(f"the same command ran {again['runs']['ran']} finished runs again")
        timed = [timed_call([*COMMAND, *words, "--results-dir", str(root)]) for _ in range(rounds)]
        sizes = [file.stat().st_size for file in study.glob("*/result.json")]
        study_json_bytes = (study / "study.json").stat().st_size
    seconds, peak = statistics.median(s for s, _ in timed), max(b for _, b in timed)
    return {
        "words": words,
        "runs": tree["runs"]["planned"],
        "seconds": [s for s, _ in timed],
        "peak_bytes": peak,
        "result_bytes_mean": statistics.fmean(sizes),
        "result_bytes_sum": sum(sizes),
        "study_json_bytes": study_json_bytes,
        "goal": f"< {GOAL_SECONDS:g} s and < {GOAL_BYTES / 1e9:g} GB for 10,000 runs",
        "goal_holds": seconds < GOAL_SECONDS and peak < GOAL_BYTES,
    }


def start_study(words: Sequence[str], root: Path) -> Path:
    """Start the sweep, stop it after its first result, and return its folder; study.json then plans every run."""
    process = start_sweep([*words, "--jobs", "1"], root)
    deadline = time.monotonic() + START_SECONDS
    while not results(root) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.wait()
    if not results(root):
        raise ExpectationFailed(f"no run finished in {START_SECONDS:g} s; the end of the log:\n{log_end(root)}")
    return next(root.glob("[!.]*/study.json")).parent


def fill_study(study: Path) -> int:
    """Write files for every planned run without a result; return the number of planned runs."""
    tree = json.loads((study / "study.json").read_text())
    pattern = next(study.glob("[!.]*/result.json")).parent
    result = json.loads((pattern / "result.json").read_text())
    draw = random.Random(0)
    ids = [run_id for cell in tree["cells"] for trial in cell["trials"] for run_id in trial["runs"]]
    for run_id in ids:
        folder = study / run_id
        if (folder / "result.json").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)  # of the interrupted run
        folder.mkdir()
        for name in ("run.json", "metrics.jsonl", ".lock"):
            shutil.copyfile(pattern / name, folder / name)
        final = {**result["final"], "val_metric": draw.random()}
        own = {**result, "run_id": run_id, "final": final}
        (folder / "result.json").write_text(json.dumps(own, indent=2) + "\n")
    return len(ids)


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    times = ", ".join(f"{value:.2f}" for value in report["seconds"])
    return [
        f"optbench sweep {' '.join(report['words'])}: {report['runs']:,} runs, all finished before",
        f"  wall        {statistics.median(report['seconds']):8.2f} s (median of {times})",
        f"  memory      {report['peak_bytes'] / 1e6:8.0f} MB (peak)",
        f"  read        {report['result_bytes_sum'] / 1e6:8.1f} MB of result.json, {report['result_bytes_mean']:.0f} B "
        f"each, and {report['study_json_bytes'] / 1e6:.1f} MB of study.json",
        goal_line(report),
    ]
