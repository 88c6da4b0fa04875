"""`optbench sweep` in processes of its own, and what it leaves behind."""

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
WORKLOAD = {"model": "mlp", "threads": "1", "tracker": "none"}  # where the command line does not say another
FOUND = ("cell", "trials", "best", "tune_score", "edges", "final_val", "final_test")
ENDED = (0, 3)  # done; done, and some runs did not succeed: a result too


@dataclass(frozen=True)
class Swept:
    """A sweep that has come to its end."""

    tree: Mapping[str, Any]
    seconds: float
    weights: Mapping[str, str]
    """The hash of the weights that each run ended with."""

    @property
    def table(self) -> list[dict[str, Any]]:
        """What was found, without how it went."""
        return [{key: cell[key] for key in FOUND} for cell in self.tree["cells"]]

    def same_as(self, other: Swept) -> bool:
        """Whether both found the same, bit for bit."""
        return self.weights == other.weights and self.table == other.table


def words_of(config: RunConfig, optimizers: str, defaults: Mapping[str, str]) -> list[str]:
    """The overrides of a sweep: those of the bench's command line, `defaults` where it says nothing."""
    given = {text.partition("=")[0]: text for text in config.overrides}
    own = {key: f"{key}={value}" for key, value in {**WORKLOAD, **defaults}.items()}
    return [*{**own, **given, "optimizer": f"optimizer={optimizers}"}.values()]


def started(words: Sequence[str], root: Path, log: Path | None = None) -> subprocess.Popen[bytes]:
    """A sweep that has begun; its answer goes to `answer.json` in the results folder, its words to the end of a log."""
    root.mkdir(parents=True, exist_ok=True)
    command = [*COMMAND, *words, "--json", "--results-dir", str(root)]
    with open(root / "answer.json", "wb") as answer, open(log or root / "log.txt", "ab") as said:
        return subprocess.Popen(command, stdout=answer, stderr=said, stdin=subprocess.DEVNULL)


def swept(words: Sequence[str], root: Path) -> Swept:
    """A sweep from its beginning to its end. Raises ExpectationFailed where it does not come to one."""
    began = time.perf_counter()
    code = started(words, root).wait()
    seconds = time.perf_counter() - began
    return ended(code, root, seconds)


def ended(code: int, root: Path, seconds: float) -> Swept:
    """What a sweep came to that ended with this exit code."""
    if code not in ENDED:
        raise ExpectationFailed(f"the sweep ended with exit code {code}: {(root / 'log.txt').read_text()[-2000:]}")
    answer = (root / "answer.json").read_text()
    return Swept(json.JSONDecoder().raw_decode(answer)[0], seconds, weights(root))


def results(root: Path) -> dict[str, dict[str, Any]]:
    """Every result below a results folder, by run."""
    return {file.parent.name: json.loads(file.read_text()) for file in sorted(root.glob("[!.]*/[!.]*/result.json"))}


def weights(root: Path) -> dict[str, str]:
    """The hash of the weights that each run ended with."""
    return {run_id: result["weights_sha256"] for run_id, result in results(root).items()}
