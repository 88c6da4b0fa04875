"""How long does `optbench report` take on a large study, the first and the second time, and how large is its HTML?

    optbench bench report runs=1000 records=2000

Times the command as a user runs it: interpreter, imports, reading, statistics, every output. The second report finds
the records in the parquet copy of the first, and its figures.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from optbench.benches import Report, goal_line
from optbench.benches.calling import timed_call
from optbench.benches.reporting.tree import make_tree
from optbench.config import RunConfig

log = logging.getLogger(__name__)
GOAL_FIRST_SECONDS, GOAL_NEXT_SECONDS, GOAL_BYTES, GOAL_HTML_BYTES = 20.0, 3.0, 1.5e9, 6e6


def measure(config: RunConfig, runs: int = 1000, records: int = 2000, seed: int = 0) -> Report:
    """Return the seconds and bytes of two reports, one after the other.

    `runs`, `records`: runs of the random study and records of each run. `seed`: seed of the study."""
    with tempfile.TemporaryDirectory() as folder:
        study = make_tree(Path(folder) / "results", runs=runs, records=records, seed=seed)
        results_bytes = sum(file.stat().st_size for file in study.rglob("*.json*"))
        log.info(f"{runs} runs of {records} records written ({results_bytes / 1e6:.0f} MB)")
        out = Path(folder) / "report"
        command = [sys.executable, "-m", "optbench", "report", str(study), "-o", str(out)]
        first_seconds, first_peak = timed_call(command)
        next_seconds, next_peak = timed_call(command)
        html_bytes = (out / "report.html").stat().st_size
    peak = max(first_peak, next_peak)
    return {
        "runs": runs,
        "records": records,
        "results_bytes": results_bytes,
        "first_seconds": first_seconds,
        "next_seconds": next_seconds,
        "peak_bytes": peak,
        "html_bytes": html_bytes,
        "goal": f"first <= {GOAL_FIRST_SECONDS:g} s, second <= {GOAL_NEXT_SECONDS:g} s, memory < "
        f"{GOAL_BYTES / 1e9:g} GB, HTML < {GOAL_HTML_BYTES / 1e6:g} MB for 1,000 runs of 2,000 records",
        "goal_holds": first_seconds <= GOAL_FIRST_SECONDS
        and next_seconds <= GOAL_NEXT_SECONDS
        and peak < GOAL_BYTES
        and html_bytes < GOAL_HTML_BYTES,
    }


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    return [
        f"optbench report of {report['runs']:,} runs with {report['records']:,} records each "
        f"({report['results_bytes'] / 1e6:.0f} MB)",
        f"  first       {report['first_seconds']:8.2f} s",
        f"  second      {report['next_seconds']:8.2f} s",
        f"  memory      {report['peak_bytes'] / 1e6:8.0f} MB (peak)",
        f"  HTML        {report['html_bytes'] / 1e6:8.2f} MB",
        goal_line(report),
    ]
