"""Whatever is typed: no traceback, no exit code of a bug, nothing that hangs, no command to the terminal."""

from __future__ import annotations

import faulthandler
import os
import re
import shutil
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from mangled import LINES, mangled
from odd_files import ODD, replaced

from optbench.benches.reporting.tree import make_tree
from optbench.cli.app import main
from optbench.cli.commands import COMMANDS

CODES = {0, 2, 3, 4, 5}
SECONDS = 20.0
WAIT = 120.0  # on a busy machine, before the stack of what hangs is printed
AT_ONCE = 50
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that the valid command lines name, and odd files.

    The fork server has the environment of the test that started it, so later tests need one of their own."""
    folder = tmp_path_factory.mktemp("mangled") / "whole"
    folder.mkdir()
    make_tree(folder / "results", runs=20, records=12)
    shutil.copytree(folder / "results", folder / "other")
    (folder / "table.csv").write_text("submission,w,v\na,1,2\nb,inf,3\n")
    (folder / "study.yaml").write_text("overrides: [optimizer=sgd, model=quadratic, steps=2]\ntrials: 2\nseeds: 1\n")
    (folder / "conf" / "optimizer").mkdir(parents=True)
    (folder / "conf" / "targets.yaml").write_text("w: {metric: accuracy, value: 0.5, direction: max}\n")
    trial = folder / "logs" / "mine" / "study_0" / "w_jax" / "trial_1"
    trial.mkdir(parents=True)
    (trial / "eval_measurements.csv").write_text("accumulated_submission_time,validation/accuracy\n1,0.6\n")
    for name, kind in (
        ("fifo", "FIFO"),
        ("loop", "link loop"),
        ("empty", "empty"),
        ("deep.json", "deep"),
        ("binary",) * 2,
    ):
        replaced(folder / name, kind)
    yield folder
    forkserver._forkserver._stop()


@pytest.fixture
def here(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder of the test; `fresh` fills it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPTBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    yield tmp_path
    faulthandler.cancel_dump_traceback_later()


def fresh(folder: Path, whole: Path) -> None:
    """Put the folder back as it was."""
    for name in os.listdir(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in os.listdir(whole):
        source, target = whole / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.is_file():
            shutil.copy(source, target)
    replaced(folder / "fifo", "FIFO")
    replaced(folder / "loop", "link loop")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=[pytest.mark.slow] if n >= 500 // AT_ONCE else []) for n in range(10_000 // AT_ONCE)]
)
def test_mangled_command_lines(seed: int, here: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = 0
    for words in mangled(seed, AT_ONCE):
        if code in (0, 3):  # the last one may have written something
            fresh(here, whole)
        faulthandler.dump_traceback_later(WAIT, exit=True, file=sys.__stderr__)
        began = sum(os.times()[:4])
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException as error:
            raise AssertionError(words) from error
        seconds = sum(os.times()[:4]) - began  # of this process and its children, however busy the machine is
        printed = capsys.readouterr()
        assert code in CODES, (words, printed.err)
        assert "Traceback" not in printed.err, (words, printed.err)
        assert not CONTROL.search(printed.out + printed.err), (words, printed)
        assert seconds < SECONDS, (words, seconds)


def test_every_command_is_mangled() -> None:
    assert set(LINES) == set(COMMANDS)
    assert len(ODD) > 10
