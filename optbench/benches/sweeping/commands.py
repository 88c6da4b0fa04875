"""`optbench sweep` in a process of its own, and its results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.config import RunConfig
from optbench.errors import ExpectationFailed

COMMAND = (sys.executable, "-m", "optbench", "sweep")
WORKLOAD = {"model": "mlp", "threads": "1", "tracker": "none"}  # defaults
TABLE_COLUMNS = ("cell", "trials", "best", "tune_score", "edges", "final_val", "final_test")
FINISHED_CODES = (0, 3)  # 3: finished, but some runs failed
LOG_CHARACTERS = 2000  # the end of a log in an error message


@dataclass(frozen=True)
class FinishedSweep:
    """The results of a finished sweep."""

    tree: Mapping[str, Any]
    """The output of --json."""
    seconds: float
    weights: Mapping[str, str]
    """The hash of the final weights of each run."""

    @property
    def table(self) -> list[dict[str, Any]]:
        """The result columns of each cell, without times and counts."""
        return [{key: cell[key] for key in TABLE_COLUMNS} for cell in self.tree["cells"]]

    def same_as(self, other: FinishedSweep) -> bool:
        """Return True if both have the same results, bit for bit."""
        return self.weights == other.weights and self.table == other.table


def sweep_overrides(config: RunConfig, optimizers: str, defaults: Mapping[str, str]) -> list[str]:
    """Return the bench's overrides as those of a sweep, completed by `defaults`."""
    given = {text.partition("=")[0]: text for text in config.overrides}
    own = {key: f"{key}={value}" for key, value in {**WORKLOAD, **defaults}.items()}
    return [*{**own, **given, "optimizer": f"optimizer={optimizers}"}.values()]


def start_sweep(words: Sequence[str], root: Path) -> subprocess.Popen[bytes]:
    """Start a sweep; it writes `answer.json` and appends to `log.txt` in the results folder."""
    root.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, *words, "--json", "--results-dir", str(root)]
    with open(root / "answer.json", "wb") as answer, open(root / "log.txt", "ab") as log:
        return subprocess.Popen(command, stdout=answer, stderr=log, stdin=subprocess.DEVNULL)


def run_sweep(words: Sequence[str], root: Path) -> FinishedSweep:
    """Run a sweep. Raises ExpectationFailed if it does not finish."""
    began = time.perf_counter()
    code = start_sweep(words, root).wait()
    return read_sweep(code, root, time.perf_counter() - began)


def read_sweep(code: int, root: Path, seconds: float) -> FinishedSweep:
    """Return the results of a sweep with this exit code. Raises ExpectationFailed if the code is that of a failure."""
    if code not in FINISHED_CODES:
        raise ExpectationFailed(f"the sweep failed with exit code {code}; the end of its log:\n{log_end(root)}")
    answer = (root / "answer.json").read_text()
    return FinishedSweep(json.JSONDecoder().raw_decode(answer)[0], seconds, weights(root))


def log_end(root: Path) -> str:
    """Return the end of a sweep's log."""
    return (root / "log.txt").read_text()[-LOG_CHARACTERS:]


def results(root: Path) -> dict[str, dict[str, Any]]:
    """Return every result below a results folder, by run."""
    return {file.parent.name: json.loads(file.read_text()) for file in sorted(root.glob("[!.]*/[!.]*/result.json"))}


def weights(root: Path) -> dict[str, str]:
    """Return the hash of the final weights of each run."""
    return {run_id: result["weights_sha256"] for run_id, result in results(root).items()}
