"""Readers that go away, full disks, closed streams, narrow encodings, and Ctrl-C while the command is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optbench.benches.reporting.tree import make_tree

OPTBENCH = f"{sys.executable} -m optbench"
RUN = "run model=quadratic steps=2 tracker=none threads=1 device=cpu"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("streams"), runs=20, records=6)


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; its exit code is that of optbench."""
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, capture_output=True, text=True, timeout=100, env={**os.environ, **environment}
    )


LOST = "optbench: stdout: cannot be written: No space left on device"
STREAMS = [
    ("list", "| head -1; exit ${PIPESTATUS[0]}", 0, ""),
    ("list columns --json", "> >(true)", 0, ""),
    ("list columns", "> /dev/full", 2, LOST),
    ("report {study} --text", "> /dev/full", 2, LOST),
    ("compare lion sgd {study}", ">&-", 0, ""),
    ("list columns", "2>&-", 0, ""),
    ("list nothing", "2> /dev/full", 2, ""),
    ("list columns", "<&- >&- 2>&-", 0, ""),
]


@pytest.mark.parametrize(("command", "streams", "code", "words"), STREAMS)
def test_standard_streams(command: str, streams: str, code: int, words: str, study: Path, tmp_path: Path) -> None:
    done = shell(f"{OPTBENCH} {command.format(study=study)} {streams}", tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 2 and "Exception ignored" not in done.stderr


def test_a_run_without_readers_is_trained_and_no_file_of_results_gets_the_number_of_a_stream(tmp_path: Path) -> None:
    assert shell(f"{OPTBENCH} {RUN} >&- 2> >(true)", tmp_path).returncode == 0
    (file,) = tmp_path.glob("results/runs/*/metrics.jsonl")
    assert (file.parent / "result.json").is_file()
    assert all(line.startswith("{") for line in file.read_text().splitlines())


def test_the_answer_is_in_the_characters_that_stdout_has(study: Path, tmp_path: Path) -> None:
    done = shell(f"{OPTBENCH} report {study} --text", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and " lion " in done.stdout
    run = shell(f"{OPTBENCH} run model=quadratic steps=x\u00b1 2>&1", tmp_path, PYTHONIOENCODING="ascii")
    assert run.returncode == 2 and "x~" in run.stdout


def test_ctrl_c_while_it_imports(tmp_path: Path) -> None:
    interrupting = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "typer.py").write_text(interrupting)  # one of the first packages that the command imports
    done = shell(f"{OPTBENCH} list", tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
