"""Sweeps through the command line: what is run, what is not run again, and what is said when things go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from optbench.benches.sweeping.commands import results as results_of
from optbench.benches.sweeping.commands import weights as hashes
from optbench.cli import app
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.read.reading import read

FUNCTION = ("model=quadratic", "steps=50", "threads=1")
DIGITS = ("model=mlp", "steps=30", "threads=1")
LONG = ("optimizer=adamw", "model=quadratic", "steps=2500", "threads=1", "checkpoint_seconds=0.05")
PATIENCE_SECONDS = 60.0  # for a busy machine; nothing of this is waited for longer than it takes


@dataclass(frozen=True)
class Said:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def tree(self) -> dict[str, Any]:
        """The first JSON object on stdout."""
        return json.JSONDecoder().raw_decode(self.out)[0]


Sweep = Callable[..., Said]


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Return a function that runs `optbench sweep` in this process, with one fork server for all tests."""

    def run(*words: str, results: Path | None = None) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main(["sweep", *words, "--json", "--results-dir", str(results or tmp_path / "results")])
        out, err = capsys.readouterr()
        return Said(int(end.value.code or 0), out, err)

    return run


def outcomes(said: Said) -> list[tuple[Any, ...]]:
    """Return the results of a sweep without its counts."""
    keys = ("cell", "trials", "best", "tune_score", "edges", "final_val", "final_test")
    return [tuple(str(cell[key]) for key in keys) for cell in said.tree["cells"]]


# -- the same results, and nothing twice -------------------------------------------------------------------------------


def test_cells_take_turns(sweep: Sweep, tmp_path: Path) -> None:
    sweep("optimizer=lion,adamw", *FUNCTION, "--trials", "3", "--seeds", "3", "--jobs", "1")
    files = sorted((tmp_path / "results").glob("*/*/result.json"), key=lambda file: file.stat().st_mtime_ns)
    runs = [json.loads((file.parent / "run.json").read_text()) for file in files]
    turns = [(run["stage"], run["config"]["optimizer"]["name"]) for run in runs]
    assert turns == [("tune", "lion"), ("tune", "adamw")] * 3 + [("final", "lion"), ("final", "adamw")] * 3


def test_the_number_of_jobs_changes_no_number(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("optimizer=lion,adamw", *DIGITS, "--trials", "2", "--seeds", "1")
    one = sweep(*asked, "--jobs", "1", results=tmp_path / "one")
    two = sweep(*asked, "--jobs", "2", results=tmp_path / "two")
    assert (one.code, two.code) == (0, 0), one.err + two.err
    assert len(hashes(tmp_path / "one")) == 2 * (2 + 1)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert outcomes(one) == outcomes(two)


PARTS = """
overrides: ["optimizer=sgd,adamw", threads=1]
trials: 1
seeds: 2
parts:
  bowl: {overrides: [model=quadratic, steps=20]}
  valley: {overrides: [model=rosenbrock, steps=30]}
claim: {measure: test_metric, of: adamw, against: sgd, relation: better}
"""


def test_contenders_are_compared_within_the_parts_of_a_study(sweep: Sweep, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(PARTS)
    said = sweep(str(file), "--study", "parts")
    cells = {cell["cell"]: cell["final_test"] for cell in said.tree["cells"]}
    assert list(cells) == ["bowl sgd", "bowl adamw", "valley sgd", "valley adamw"]
    report = build(read(tmp_path / "results" / "parts"), ReportOptions(records=False))
    assert [workload.name for workload in report.workloads] == ["quadratic-noise", "rosenbrock-noise"]
    assert report.claim is not None
    (criterion,) = report.claim.criteria
    assert [one.where for one in criterion.evidence] == ["quadratic-noise", "rosenbrock-noise"]


def test_a_second_sweep_runs_nothing_and_more_trials_and_seeds_reuse_what_is_there(
    sweep: Sweep, tmp_path: Path
) -> None:
    asked = ("optimizer=lion,adamw", *FUNCTION)
    first = sweep(*asked, "--trials", "2", "--seeds", "1")
    assert first.code == 0, first.err
    assert first.tree["runs"] == {"planned": 6, "ran": 6, "found": 0}
    before = {run: result["wall_seconds"] for run, result in results_of(tmp_path / "results").items()}

    study_file = tmp_path / "results" / first.tree["study"] / "study.json"
    written = study_file.stat().st_mtime_ns
    again = sweep(*asked, "--trials", "2", "--seeds", "1")
    assert again.code == 0
    assert study_file.stat().st_mtime_ns == written
    assert again.tree["runs"] == {"planned": 6, "ran": 0, "found": 6}
    assert "all 6 runs are already finished" in again.err
    assert outcomes(again) == outcomes(first)

    more = sweep(*asked, "--trials", "4", "--seeds", "2")
    assert more.code == 0
    assert more.tree["study"] == first.tree["study"]
    assert "trials: 2 -> 4" in more.err
    assert "seeds: 1 -> 2" in more.err
    assert more.tree["runs"]["planned"] == 2 * (4 + 3 * 2 + 2)
    assert 4 <= more.tree["runs"]["found"] <= 6  # the tuning runs, and the finals of a winner that has stayed
    after = {run: result["wall_seconds"] for run, result in results_of(tmp_path / "results").items()}
    assert {run: after[run] for run in before} == before


def test_other_points_under_the_name_of_a_study_are_refused_before_anything_runs(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("optimizer=sgd", "optimizer.weight_decay=0", *FUNCTION, "--seeds", "0", "--shortlist", "0")
    assert sweep(*asked, "--trials", "2").code == 0  # a grid, whose points all move with their number
    before = sorted(path.name for path in (tmp_path / "results").glob("*/*"))
    said = sweep(*asked, "--trials", "4")
    assert said.code == 2
    assert "has other points for sgd: trial 0 was at {'optimizer.lr': " in said.err
    assert "--study NAME" in said.err
    assert sorted(path.name for path in (tmp_path / "results").glob("*/*")) == before
    assert sweep(*asked, "--trials", "4", "--study", "another").code == 0


def test_final_seeds_differ_from_tuning_seeds(sweep: Sweep, tmp_path: Path) -> None:
    said = sweep("optimizer=adamw", *FUNCTION, "--trials", "2", "--tune-seeds", "2", "--seeds", "2")
    assert said.code == 0, said.err
    runs = [json.loads(file.read_text()) for file in (tmp_path / "results").glob("*/*/run.json")]
    seeds = {stage: sorted({run["seed"] for run in runs if run["stage"] == stage}) for stage in ("tune", "final")}
    assert seeds == {"tune": [0, 1], "final": [1000, 1001]}
    kept = {run["stage"] for run in runs if any(folder_of(tmp_path, run).glob("checkpoints/*.pt"))}
    assert kept == {"final"}  # sixteen checkpoints of a tuning are of no use to anybody


def folder_of(root: Path, run: dict[str, Any]) -> Path:
    return root / "results" / run["study"] / run["run_id"]


# -- what goes wrong is a result ---------------------------------------------------------------------------------------


def test_diverging_runs_are_results(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("optimizer=sgd", "optimizer.lr=interval(1e3,1e4)", *FUNCTION, "--trials", "2", "--seeds", "1")
    said = sweep(*asked)
    assert said.code == 3
    assert said.tree["statuses"] == {"diverged": 2}
    assert said.tree["cells"][0]["best"] is None
    assert said.tree["cells"][0]["final_val"] is None
    for run_id in hashes(tmp_path / "results"):
        assert f"{run_id}: diverged: " in said.err
    assert "2 of 2 runs did not succeed: 2 diverged" in said.err
    again = sweep(*asked)
    assert (again.code, again.tree["runs"]["ran"]) == (3, 0)


BAD = '''
import pathlib
import torch

class Bad(torch.optim.SGD):
    """Raises at its third step, unless it has been repaired."""
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.count = 0
    def step(self, closure=None):
        self.count += 1
        if self.count == 3 and not pathlib.Path(__file__).with_name("mended").exists():
            raise RuntimeError("a bug at the third step")
        return super().step(closure)

class Choosy(torch.optim.SGD):
    """Its constructor has an argument without a value."""
    def __init__(self, params, lr=0.1):
        raise ValueError("lr must be a prime number")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with custom optimizers."""
    (tmp_path / "bad.py").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_failing_optimizer_is_reported_at_once_and_the_sweep_continues(sweep: Sweep, own: Path) -> None:
    asked = ("optimizer=sgd,./bad.py:Bad", "optimizer.lr=tag(log,interval(1e-3,1e-1))", *FUNCTION)
    asked = (*asked, "--trials", "2", "--seeds", "1")
    said = sweep(*asked)
    assert said.code == 3, said.err
    assert said.tree["statuses"] == {"completed": 3, "failed": 2}
    failed = [run for run, result in results_of(own / "results").items() if result["status"] == "failed"]
    for run_id in failed:
        found = re.search(
            rf"{run_id}: failed: bad.py, line 13: RuntimeError: a bug at the third step.*\n +log: (\S+)", said.err
        )
        assert found, said.err
        assert Path(found[1]).is_file()
        assert "a bug at the third step" in (Path(found[1]).parents[1] / run_id / "error.txt").read_text()
    assert "--retry failed" in said.err

    assert sweep(*asked).tree["runs"]["ran"] == 0  # a failure is a result ...
    (own / "mended").touch()
    mended = sweep(*asked, "--retry", "failed")  # ... until one asks again
    assert mended.code == 0, mended.err
    assert mended.tree["statuses"] == {"completed": 6}
    assert mended.tree["runs"]["ran"] == 3
    assert len(list((own / "results").glob("*/.replaced/*"))) == 2


def test_a_cell_that_cannot_be_built_is_refused_once(sweep: Sweep, own: Path) -> None:
    said = sweep(
        *("optimizer=sgd,./bad.py:Choosy", "optimizer.lr=tag(log,interval(1e-3,1e-1))", *FUNCTION),
        *("--trials", "8", "--shortlist", "0", "--seeds", "1", "--jobs", "1"),
    )
    assert said.code == 3, said.err
    assert said.tree["statuses"] == {"completed": 9, "refused": 8}
    assert said.err.count("lr must be a prime number") == 1
    assert "Traceback (" not in said.err


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_results_folder_that_cannot_be_written(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file in the folder's place")
    said = sweep("optimizer=sgd", *FUNCTION, "--trials", "1", "--seeds", "0")
    assert said.code == 2
    assert re.fullmatch(r"optbench: \S+: cannot be written: \S.*\n", said.err)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root writes into every folder")
def test_a_results_folder_without_write_permission(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    said = sweep("optimizer=sgd", *FUNCTION, "--trials", "1", "--seeds", "0")
    assert said.code == 2
    assert re.fullmatch(r"optbench: \S+: cannot be written: Permission denied\n", said.err)


# -- signals and deaths ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(tmp_path: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep in a process of its own."""
    command = [sys.executable, "-m", "optbench", "sweep", *words, "--results-dir", str(tmp_path / "results")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def waited_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of a condition."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < give_up, f"still waiting for {what}"
        time.sleep(0.02)
    return answer


def checkpoints(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "results").glob("*/*/checkpoints/step-*.pt"))


def workers(tmp_path: Path, run_id: str = "*") -> list[int]:
    """Return the process ids of all workers so far, or of a run's, from their logs."""
    logs = (tmp_path / "results").glob(f"*/logs/{run_id}.txt")
    return [int(number) for log in logs for number in re.findall(r", process (\d+)$", log.read_text(), re.MULTILINE)]


def alive(pids: Iterable[int]) -> set[int]:
    """Return those that run; zombies don't count."""
    running = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            running |= {pid} if state != "Z" else set()
    return running


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from /proc")


@needs_proc
def test_a_study_has_one_scheduler_and_an_interrupt_leaves_checkpoints(sweep: Sweep, tmp_path: Path) -> None:
    asked = (*LONG, "--trials", "3", "--seeds", "0", "--jobs", "2")
    with started(tmp_path, *asked) as process:
        waited_for(lambda: len(checkpoints(tmp_path)) > 1, "two checkpoints")
        second = sweep(*asked)
        assert second.code == 3
        assert f"is being run by process {process.pid} on " in second.err
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, err
    assert "interrupted: 0 of 3 planned runs are finished" in err
    assert "Traceback" not in err
    assert not alive(workers(tmp_path))
    assert len(checkpoints(tmp_path)) >= 2
    assert not results_of(tmp_path / "results")
    after = sweep(*asked)
    assert after.code == 0, after.err
    resumed = [result["resumed_from_steps"] for result in results_of(tmp_path / "results").values()]
    assert sorted(bool(steps) and steps[0] > 0 for steps in resumed) == [False, True, True]


@needs_proc
def test_killed_workers_are_replaced(tmp_path: Path) -> None:
    """Kill the scheduler, whose workers must end soon; in the next call, kill a worker."""
    asked = (*LONG, "--trials", "2", "--seeds", "0", "--jobs", "2")
    with started(tmp_path, *asked) as process:
        waited_for(lambda: len(checkpoints(tmp_path)) > 1, "two checkpoints")
        orphans = alive(workers(tmp_path))
        assert len(orphans) == 2
        process.kill()
        process.wait()
        killed = time.monotonic()
        waited_for(lambda: not alive(orphans), "the workers to go")
    assert time.monotonic() - killed < 10.0  # a step and a checkpoint, on a busy machine
    assert not results_of(tmp_path / "results")
    before = {run_of(file): step_of(file) for file in sorted(checkpoints(tmp_path))}
    assert len(before) == 2
    with started(tmp_path, *asked) as process:
        victim = waited_for(lambda: further(checkpoints(tmp_path), before), "progress")
        pid = workers(tmp_path, victim)[-1]
        assert pid not in orphans
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    for run_id, result in results_of(tmp_path / "results").items():
        assert result["status"] == "completed"
        assert result["resumed_from_steps"][0] == before[run_id] > 0
    assert len(results_of(tmp_path / "results")[victim]["resumed_from_steps"]) == 2


def further(files: list[Path], before: dict[str, int]) -> str | None:
    """Return a run that was resumed."""
    return next((run_of(file) for file in files if step_of(file) > before[run_of(file)]), None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1][:9])


def run_of(checkpoint: Path) -> str:
    return checkpoint.parent.parent.name
