"""One kind of run: undisturbed, then struck again and again until it ends, and whether both did the same."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from optbench.benches import Report
from optbench.benches.chaos_runs.strikes import CHILD, KILL, STRIKES, Strike, Target, newest_step
from optbench.benches.sweep_kills import processes
from optbench.records import COLUMNS
from optbench.store import RunFolder, read_records

STARTING_SHARE = 0.08  # of the strikes, during the start: they show little
START_SECONDS = (0.3, 3.0)  # after the interpreter's own start
AIMED_SHARE = 0.5  # of the others, while a checkpoint is being written
LATEST_SECONDS = 0.4  # after a checkpoint, for the rest
PATIENCE_SECONDS = 300.0  # for a checkpoint, or for the end of the process
CHILD_SECONDS = 10.0  # for a child to find out that its run is gone
MEASURED_UNITS = {"s", "ms", "B", "samples/s", "tokens/s"}  # of columns that differ between equal runs
LOG_CHARACTERS = 800


@dataclass
class StruckKind:
    """One kind of run, and what strikes have done to it so far."""

    name: str
    words: Sequence[str]
    run_id: str
    root: Path
    draw: Random
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    resumes: list[int] = field(default_factory=list)
    """The steps that runs went on from."""
    different: Counter[str] = field(default_factory=Counter)
    """The number of runs whose weights, records or results differ from the undisturbed run's."""
    faults: list[str] = field(default_factory=list)
    """A line for everything that must not happen: an undocumented exit, lost records, a process left behind."""
    children: set[int] = field(default_factory=set)
    deck: list[Strike] = field(default_factory=list)
    """Strikes to come, so that each comes as often as the others."""

    def run(self, kills: int) -> None:
        """Run once undisturbed, then until a number of kills is reached."""
        calm = self.folder("calm")
        self.one_start(calm, None)
        starts = 3 * kills + 5  # most kills need one, and each run one more
        while sum(self.kills.values()) < kills and calm.result() and starts > 0:
            self.runs += 1
            folder = self.folder(f"struck-{self.runs}")
            while folder.result() is None and starts > 0:
                starts -= 1
                self.one_start(folder, calm if sum(self.kills.values()) < kills else None)
            self.compare(calm, folder)
        if sum(self.kills.values()) < kills:
            self.fault(f"only {sum(self.kills.values())} of {kills} kills")
        self.find_processes_left()

    def folder(self, study: str) -> RunFolder:
        """Return the run's folder in a study."""
        return RunFolder(self.root, study, self.run_id)

    def one_start(self, folder: RunFolder, calm: RunFolder | None) -> None:
        """Start the run and wait for its end; strike it if there is an undisturbed run to compare with."""
        before = newest_step(folder.path)
        self.root.mkdir(exist_ok=True)
        log = self.root / "log.txt"
        command = [sys.executable, "-m", "optbench", "run", *self.words, "--quiet"]
        command += ["--study", folder.path.parent.name, "--results-dir", str(self.root)]
        with open(log, "wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            strike = self.strike(Target(process, folder.path, self.draw), before) if calm else None
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.fault(f"did not end in {PATIENCE_SECONDS:g} s")
        finally:
            process.kill()
            code = process.wait()
        code = code if code >= 0 else 128 - code
        said = log.read_text(errors="replace")
        if code not in (0, strike.exit_code if strike else 0) or "Traceback" in said:
            self.fault(f"{strike.name if strike else 'undisturbed'}: exit code {code}: {said[-LOG_CHARACTERS:]}")
        if strike and code:
            self.kills[strike.name] += 1
        if newest_step(folder.path) < before:
            self.fault(f"checkpoint {before} was lost")
        if calm:
            self.require_kept(rows(calm), folder)

    def strike(self, target: Target, before: int) -> Strike:
        """Strike a run at a random time, mostly after a checkpoint beyond a step."""
        if self.draw.random() < STARTING_SHARE:
            time.sleep(self.draw.uniform(*START_SECONDS))
        else:
            target.wait_for(lambda: newest_step(target.run_folder) > before, PATIENCE_SECONDS)
            if self.draw.random() < AIMED_SHARE:
                target.wait_for(target.is_writing, LATEST_SECONDS)
            else:
                time.sleep(self.draw.uniform(0, LATEST_SECONDS))
        children = target.children()
        self.children.update(children)
        self.deck = self.deck or self.draw.sample(STRIKES, len(STRIKES))
        strike = self.deck.pop()
        if strike is CHILD and not children:
            strike = KILL
        strike.hit(target)
        return strike

    def require_kept(self, calm: Sequence[Report], folder: RunFolder) -> None:
        """Note a fault unless the records of a struck run are the undisturbed one's, at least up to its checkpoint."""
        kept, step = rows(folder), newest_step(folder.path)
        if kept != calm[: len(kept)] or len(kept) < sum(row["step"] < step for row in calm):
            self.fault(f"records before step {step} are lost or differ")

    def compare(self, calm: RunFolder, struck: RunFolder) -> None:
        """Note the differences between the results of two runs."""
        expected, found = calm.result() or {}, struck.result() or {}
        self.resumes += found.get("resumed_from_steps", [])
        self.different["weights"] += found.get("weights_sha256") != expected["weights_sha256"]
        self.different["records"] += rows(struck) != rows(calm)
        same = ("status", "final", "best", "steps", "samples", "gradient_evaluations")
        self.different["results"] += any(found.get(key) != expected[key] for key in same)

    def find_processes_left(self) -> None:
        """Note a fault if a child has outlived its run."""
        end = time.monotonic() + CHILD_SECONDS
        while (left := self.children & {pid for pid, _ in processes()}) and time.monotonic() < end:
            time.sleep(0.1)
        if left:
            self.fault(f"{len(left)} processes have outlived their run")

    def fault(self, text: str) -> None:
        """Note a fault."""
        self.faults.append(f"{self.name}: {text}")


def rows(folder: RunFolder) -> list[Report]:
    """Return the records of a run without times and memory."""
    measured = {name for name, column in COLUMNS.items() if column.unit in MEASURED_UNITS}
    return [{k: v for k, v in row.items() if k not in measured} for row in read_records(folder.metrics_file)]
