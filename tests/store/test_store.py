"""Results on disk."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from optbench.errors import ConfigError, StorageError
from optbench.records import COLUMNS, Record, Split, without_nonfinite
from optbench.store import RunFolder, read_json, read_records, results_root, write_atomically


def record(step: int, **values: float) -> Record:
    return Record(
        step=step,
        samples=step,
        gradient_evaluations=step,
        split=Split.TRAIN,
        train_seconds=1.0,
        wall_seconds=2.0,
        values=values,
    )


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "s", "r")
    folder.path.mkdir(parents=True)
    for step in (1, 2):
        folder.append(record(step, train_loss=0.5))
    folder.close()
    with open(folder.metrics_file, "a") as out:
        out.write('{"step": 3, "tra')
    assert [row["step"] for row in folder.records()] == [1, 2]


def test_nan_is_written_as_null(tmp_path: Path) -> None:
    row = record(1, train_loss=math.nan, grad_norm=math.inf, lr=0.1).as_row()
    assert (row["train_loss"], row["grad_norm"], row["lr"]) == (None, None, 0.1)
    assert row["nonfinite"] == {"train_loss": "nan", "grad_norm": "inf"}
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert without_nonfinite({"a": [1.0, math.inf], "b": {"c": math.nan}}) == {"a": [1.0, None], "b": {"c": None}}


def test_every_name_of_a_record_is_in_the_column_dictionary() -> None:
    assert set(record(1, train_loss=math.nan).as_row()) <= set(COLUMNS)
    assert all(column.unit and column.meaning for column in COLUMNS.values())


def test_cut_back_removes_later_records(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "s", "r")
    folder.path.mkdir(parents=True)
    folder.append(record(1))
    length = folder.sync()
    folder.append(record(2))
    folder.cut_back(length)
    folder.append(record(3))
    folder.close()
    assert [row["step"] for row in read_records(folder.metrics_file)] == [1, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows deletes no open file")
@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: shutil.rmtree(folder.path),
        lambda folder: folder.metrics_file.unlink(),
        lambda folder: [folder.metrics_file.unlink(), folder.metrics_file.write_text("")],
        lambda folder: [folder.path.rename(folder.path.with_name("away")), folder.path.write_text("")],
    ],
    ids=["folder-deleted", "records-deleted", "records-replaced", "folder-replaced"],
)
def test_a_run_whose_records_are_gone_has_no_result(tmp_path: Path, harm: Callable[[RunFolder], object]) -> None:
    folder = RunFolder(tmp_path, "s", "r")
    with pytest.raises(StorageError, match=r"metrics\.jsonl: cannot be written: "), folder.locked():
        folder.append(record(1))
        folder.sync()
        harm(folder)
        folder.append(record(2))
        folder.write_result({})
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_disk_that_fills_up_during_a_run_is_one_error(tmp_path: Path) -> None:
    import resource

    folder = RunFolder(tmp_path, "s", "r")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, allowed[1]))
    try:
        with pytest.raises(StorageError, match=r"metrics\.jsonl: cannot be written: "), folder.locked():
            for step in range(100):
                folder.append(record(step))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert [row["step"] for row in folder.records()] == list(range(len(folder.records())))


def test_a_failed_write_keeps_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda out: out.write(b"old"))

    def fails(out: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fails)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unreadable_json_is_none(tmp_path: Path) -> None:
    for name, text in {"torn": '{"a": 1', "list": "[1]", "empty": ""}.items():
        (tmp_path / name).write_text(text)
        assert read_json(tmp_path / name) is None
    assert read_json(tmp_path / "absent") is None


def test_replaced_runs_are_set_aside(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "s", "r")
    folder.path.mkdir(parents=True)
    assert folder.set_aside() is None
    folder.write_run({"a": 1})
    aside = folder.set_aside()
    folder.write_run({"a": 2})
    assert folder.run() == {"a": 2}
    assert aside is not None and read_json(aside / "run.json") == {"a": 1}


def test_the_results_root_is_the_flag_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_root(None) == Path("results")
    monkeypatch.setenv("OPTBENCH_RESULTS_DIR", "elsewhere")
    assert results_root(None) == Path("elsewhere")
    assert results_root("given") == Path("given")


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "study", "run")
    with pytest.raises(ConfigError), folder.locked():
        raise ConfigError("refused")
    assert not folder.path.exists()
    with folder.locked():
        folder.write_run({"schema": 1})
    assert folder.run() == {"schema": 1}
