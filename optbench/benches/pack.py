"""How many runs an hour does a sweep train, by the number of runs that share a process?

    optbench bench pack model=resnet optimizer=adamw packs=1,4,16 runs=16

Runs the same sweep of one optimizer once for each `--pack`, from start to end, imports included, one process at a time.
Small networks leave a GPU idle between kernels, and a pack of N launches as many kernels as one run. The largest
difference is that of the final test losses from those of the first sweep, relative to them.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from optbench.benches import Report, comma_separated
from optbench.benches.sweeping.commands import results, run_sweep, sweep_overrides
from optbench.config import RunConfig
from optbench.errors import ConfigError

log = logging.getLogger(__name__)


def measure(config: RunConfig, packs: str = "1,4,16", runs: int = 16) -> Report:
    """Return the runs an hour for each pack, and how many of them were trained together.

    `packs`: runs in one process, separated by commas; `runs`: trials of the sweep."""
    rows: list[Report] = []
    words = sweep_overrides(config, config.optimizer.name, {})
    words += ["--trials", str(runs), "--seeds", "1", "--shortlist", "0", "--jobs", "1"]
    losses: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in sizes(packs):
            root = Path(folder) / str(number)
            done = run_sweep([*words, "--pack", str(number)], root)
            found = results(root)
            together = sum(bool((one["pack"] or {}).get("together")) for one in found.values())
            last = {run: one["final"]["test_loss"] for run, one in found.items() if one["status"] == "completed"}
            losses = losses or last
            apart = [abs(last[run] - loss) / abs(loss) for run, loss in losses.items() if run in last and loss]
            row = {"pack": number, "runs": len(found), "together": together, "seconds": done.seconds}
            row |= {"runs_per_hour": 3600 * len(found) / done.seconds, "largest_difference": max(apart, default=None)}
            rows.append(row)
            log.info(line(row))
    return {"words": words, "device": config.device, "rows": rows}


def sizes(packs: str) -> list[int]:
    """Return the numbers of `packs`. Raises ConfigError for anything else."""
    words = comma_separated(packs)
    if not words or not all(word.isdecimal() and int(word) for word in words):
        raise ConfigError(f"packs={packs}: expected numbers from 1, e.g. packs=1,4,16")
    return [int(word) for word in words]


def lines(report: Report) -> list[str]:
    """Return a Markdown table."""
    head = "| pack | runs | trained together | seconds | runs an hour | largest difference |"
    return [head, "|" + "---|" * (head.count("|") - 1), *map(line, report["rows"])]


def line(row: Report) -> str:
    """Return a row of the table."""
    apart = "-" if row["largest_difference"] is None else f"{row['largest_difference']:.1e}"
    cells = [row["pack"], row["runs"], row["together"], f"{row['seconds']:.1f}", f"{row['runs_per_hour']:,.0f}", apart]
    return f"| {' | '.join(map(str, cells))} |"
