"""How long `optbench report` takes on a large study, the first time and the next, and how large what it makes is.

What is timed is the command as a user gives it: interpreter, imports, reading, statistics, every output. The next
report finds the records in the parquet copy that the first one left, and the figures drawn.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from optbench.benches.calling import timed_call
from optbench.benches.reporting.tree import make_tree
from optbench.config import RunConfig

log = logging.getLogger(__name__)

GOAL_FIRST_SECONDS, GOAL_NEXT_SECONDS, GOAL_BYTES, GOAL_HTML_BYTES = 20.0, 3.0, 1.5e9, 6e6
SETTINGS = {"runs": 1000, "records": 2000, "seed": 0}
"""What the command line may say: runs, records of each, what the study is drawn from."""


def measure(config: RunConfig, runs: int = 1000, records: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Seconds and bytes of two reports, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        study = make_tree(Path(folder) / "results", runs=runs, records=records, seed=seed)
        made = sum(file.stat().st_size for file in study.rglob("*.json*"))
        log.info(f"{runs} runs of {records} records are drawn ({made / 1e6:.0f} MB)")
        out = Path(folder) / "report"
        words = [sys.executable, "-m", "optbench", "report", str(study), "-o", str(out)]
        first = timed_call(words)
        following = timed_call(words)
        html = (out / "report.html").stat().st_size
    peak = max(first[1], following[1])
    return {
        "runs": runs,
        "records": records,
        "results_bytes": made,
        "first_seconds": first[0],
        "next_seconds": following[0],
        "peak_bytes": peak,
        "html_bytes": html,
        "goal": f"first <= {GOAL_FIRST_SECONDS:g} s, next <= {GOAL_NEXT_SECONDS:g} s, < {GOAL_BYTES / 1e9:g} GB, "
        f"HTML < {GOAL_HTML_BYTES / 1e6:g} MB for 1,000 runs of 2,000 records",
        "goal_holds": first[0] <= GOAL_FIRST_SECONDS
        and following[0] <= GOAL_NEXT_SECONDS
        and peak < GOAL_BYTES
        and html < GOAL_HTML_BYTES,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    return [
        f"optbench report of {found['runs']:,} runs of {found['records']:,} records "
        f"({found['results_bytes'] / 1e6:.0f} MB)",
        f"  first       {found['first_seconds']:8.2f} s",
        f"  next        {found['next_seconds']:8.2f} s",
        f"  memory      {found['peak_bytes'] / 1e6:8.0f} MB at its peak",
        f"  HTML        {found['html_bytes'] / 1e6:8.2f} MB",
        f"  goal        {found['goal']}: {'holds' if found['goal_holds'] else 'does not hold'}",
    ]
