"""How long `optbench sweep` takes to plan a large study and to find that all of it has been run.

The study is real: it is begun, which plans every run and does the first, and stopped. Then every planned run gets the
files of the one that has ended, under its own run id and with a result drawn at random, and the sweep is gone on with
until its final seeds are done. What is timed is the same command again, as a user gives it: interpreter, imports,
planning, reading every result, the summary.
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
from typing import Any

from optbench.benches.calling import timed_call
from optbench.benches.sweeping.driving import COMMAND, results, started, swept, words_of
from optbench.config import RunConfig
from optbench.errors import ExpectationFailed

log = logging.getLogger(__name__)

GOAL_SECONDS, GOAL_BYTES = 10.0, 1e9
PATIENCE_SECONDS = 300.0  # to plan the study and do its first run
SETTINGS = {"optimizers": "lion,adamw,sgd,nadam", "runs": 10_000, "seeds": 2, "rounds": 3}
"""What the command line may say: names separated by commas, finished runs of the tuning, final seeds, timed calls."""


def measure(
    config: RunConfig,
    optimizers: str = "lion,adamw,sgd,nadam",
    runs: int = 10_000,
    seeds: int = 2,
    rounds: int = 3,
) -> dict[str, Any]:
    """Seconds and bytes of a sweep that has nothing left to run."""
    trials = runs // len(optimizers.split(","))
    words = [*words_of(config, optimizers, {"steps": "30"}), "--trials", str(trials), "--seeds", str(seeds)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "results"
        study = begun(words, root)
        count = filled(study)
        log.info(f"{count} results are there; the final seeds are run")
        tree = swept(words, root).tree
        again = swept(words, root).tree
        if again["runs"]["ran"]:
            raise ExpectationFailed(f"the same sweep ran {again['runs']['ran']} runs a second time")
        timed = [timed_call([*COMMAND, *words, "--results-dir", str(root)]) for _ in range(rounds)]
        sizes = [file.stat().st_size for file in study.glob("*/result.json")]
        ledger_bytes = (study / "study.json").stat().st_size
    seconds, peak = statistics.median(s for s, _ in timed), max(b for _, b in timed)
    return {
        "words": words,
        "runs": tree["runs"]["planned"],
        "seconds": [s for s, _ in timed],
        "peak_bytes": peak,
        "result_bytes_mean": statistics.fmean(sizes),
        "result_bytes_sum": sum(sizes),
        "study_json_bytes": ledger_bytes,
        "goal": f"< {GOAL_SECONDS:g} s and < {GOAL_BYTES / 1e9:g} GB for 10,000 runs",
        "goal_holds": seconds < GOAL_SECONDS and peak < GOAL_BYTES,
    }


def begun(words: Sequence[str], root: Path) -> Path:
    """The folder of the study, begun and stopped after its first result: every run is planned in its study.json."""
    process = started([*words, "--jobs", "1"], root)
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not results(root) and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.wait()
    if not results(root):
        raise ExpectationFailed(f"the study did not begin: {(root / 'log.txt').read_text()[-2000:]}")
    return next(root.glob("[!.]*/study.json")).parent


def filled(study: Path) -> int:
    """Give every planned run that has no result the files of one that has, with values of its own; how many there
    are."""
    tree = json.loads((study / "study.json").read_text())
    pattern = next(study.glob("[!.]*/result.json")).parent
    result = json.loads((pattern / "result.json").read_text())
    draw = random.Random(0)
    ids = [run_id for cell in tree["cells"] for trial in cell["trials"] for run_id in trial["runs"]]
    for run_id in ids:
        folder = study / run_id
        if (folder / "result.json").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
        folder.mkdir()
        for name in ("run.json", "metrics.jsonl", ".lock"):
            shutil.copyfile(pattern / name, folder / name)
        final = {**result["final"], "val_metric": draw.random()}
        own = {**result, "run_id": run_id, "final": final}
        (folder / "result.json").write_text(json.dumps(own, indent=2) + "\n")
    return len(ids)


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    each = ", ".join(f"{value:.2f}" for value in found["seconds"])
    return [
        f"optbench sweep {' '.join(found['words'])}: {found['runs']:,} runs, all of which have ended before",
        f"  wall        {statistics.median(found['seconds']):8.2f} s (median of {each})",
        f"  memory      {found['peak_bytes'] / 1e6:8.0f} MB at its peak",
        f"  read        {found['result_bytes_sum'] / 1e6:8.1f} MB of result.json, "
        f"{found['result_bytes_mean']:.0f} B each; study.json has {found['study_json_bytes'] / 1e6:.1f} MB",
        f"  goal        {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}",
    ]
