"""Does a run that is killed again and again, in all ways, come to the same result as an undisturbed one?

    optbench bench chaos kills=100

Trains each kind of run in `chaos_runs/kinds.py` once undisturbed. Then strikes it until its share of the kills is used
up: SIGKILL, SIGTERM, SIGINT, two SIGINTs, SIGKILL of another rank or of a data worker; half of them while a checkpoint
is being written. The goal is the same weights, records and results, bit for bit; a documented exit code for each
strike; no record lost and no process left behind.
"""

from __future__ import annotations

import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from optbench.benches import Report, goal_line
from optbench.benches.chaos_runs.kinds import chosen_kinds, overrides_of, write_images
from optbench.benches.chaos_runs.strikes import STRIKES
from optbench.benches.chaos_runs.struck import StruckKind
from optbench.config import RunConfig, load
from optbench.errors import ConfigError, MissingError

log = logging.getLogger(__name__)
COMPARED = ("weights", "records", "results")


def measure(config: RunConfig, kills: int = 100, kill_seed: int = 0, kinds: str = "", jobs: int = 2) -> Report:
    """Return the kills of each kind of run, and what differs from its undisturbed run. Overrides hold for all kinds.

    `kills`: how often a strike ends a process, in all. `kill_seed`: seed of times and strikes. `kinds`: parts of the
    kinds' names, separated by commas; by default all. `jobs`: kinds at the same time."""
    if not Path("/proc/self/stat").exists():
        raise MissingError("bench chaos finds processes in /proc, which this system does not have", "Use Linux")
    chosen = chosen_kinds(kinds)
    if kills < len(chosen):
        raise ConfigError(f"kills={kills}: {len(chosen)} kinds need at least one each", "Raise kills=, or name kinds=")
    if jobs < 1:
        raise ConfigError(f"jobs={jobs}: expected at least 1")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        images = Path(folder) / "images"
        write_images(images)
        struck = []
        for name, line in chosen.items():
            words = overrides_of(line, images, config.overrides)
            draw = Random(f"{kill_seed} {name}")
            struck.append(StruckKind(name, words, load(words).run_id, Path(folder) / name, draw))
        shares = [kills // len(chosen) + (number < kills % len(chosen)) for number in range(len(chosen))]
        rows = list(pool.map(row_of, struck, shares))
    faults = [fault for kind in struck for fault in kind.faults]
    same = all(not row[f"different_{what}"] for row in rows for what in COMPARED)
    done = sum(sum(row["kills"].values()) for row in rows)
    return {
        "kills": done,
        "resumes": sum(row["resumes"] for row in rows),
        "rows": rows,
        "faults": faults,
        "goal": f"{kills} kills; same weights, records and results; every kind resumed; no fault",
        "goal_holds": done >= kills and same and not faults and all(row["resumes"] for row in rows),
    }


def row_of(kind: StruckKind, kills: int) -> Report:
    """Strike a kind of run, and return the report's row of it."""
    kind.run(kills)
    row = {
        "kind": kind.name,
        "words": list(kind.words),
        "kills": {strike.name: kind.kills[strike.name] for strike in STRIKES},
        "runs": kind.runs,
        "resumes": sum(step > 0 for step in kind.resumes),
        **{f"different_{what}": kind.different[what] for what in COMPARED},
        "faults": len(kind.faults),
    }
    log.info("\n".join([row_line(row), *kind.faults]))
    return row


def row_line(row: Report) -> str:
    """Return a row as text."""
    counts = "".join(f"{count:{len(name) + 2}}" for name, count in row["kills"].items())
    compared = "".join(f"{'different' if row[f'different_{what}'] else 'same':>11}" for what in COMPARED)
    return f"  {row['kind']:<28}{row['runs']:>5}{counts}{row['resumes']:>9}{compared}{row['faults']:>8}"


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    strikes = "".join(f"  {strike.name}" for strike in STRIKES)
    compared = "".join(f"{what:>11}" for what in COMPARED)
    return [
        f"{report['kills']} kills of {len(report['rows'])} kinds; {report['resumes']} resumes from checkpoints",
        f"  {'kind':<28}{'runs':>5}{strikes}{'resumes':>9}{compared}{'faults':>8}",
        *map(row_line, report["rows"]),
        *(f"  fault       {fault}" for fault in report["faults"]),
        goal_line(report),
    ]
