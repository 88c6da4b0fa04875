"""Metrics of a script that never calls optbench: every place, every way to be wrong, and what an earlier run left."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from optbench.errors import MissingError
from optbench.scripts import event_files
from optbench.scripts.measurements import Measured
from optbench.scripts.metric_source import MetricSource

NAMES = {"val_metric": "acc", "test_metric": "test_acc"}
LINES = '{"step": 10, "acc": 0.5, "train_loss": 2.0}\nepoch 1\n{"step": 20, "acc": 0.75}\n{"test_acc": 0.7}\n'
TABLE = "step,acc,test_acc,train_loss\n10,0.5,,2.0\n20,0.75,,\n30,,0.7,\n"
LIST = json.dumps([{"step": 10, "acc": 0.5, "train_loss": 2.0}, {"step": 20, "acc": 0.75}, {"test_acc": 0.7}])


def after(folder: Path, source: str, write: Callable[[], object], names: dict[str, str] = NAMES) -> Measured:
    """Return what is read from a source of a script that does `write`."""
    place = MetricSource(source, names, folder, folder / "stdout.txt")
    write()
    return place.read()


def events(folder: Path, values: list[tuple[str, float, int]], **options: bool) -> None:
    """Write TensorBoard events: (tag, value, step)."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for tag, value, step in values:
            writer.add_scalar(tag, value, step, **options)
        writer.add_text("note", "text is no metric")


@pytest.mark.parametrize(
    ("source", "name", "content"),
    [
        ("stdout", "stdout.txt", LINES),
        ("stdout", "stdout.txt", LINES.replace("\n", "\r\n")),
        ("stdout", "stdout.txt", "\r 10%|#  |\r 20%|## |\r" + LINES + "x" * 3_000_000 + '\n{"acc": 0.1'),
        ("stdout", "stdout.txt", LINES.replace('{"', '\r 40%|{}| 2/5 {x}{"')),
        ("stdout", "stdout.txt", LINES.replace('{"', 'INFO:root:{"')),
        ("train.log", "train.log", LINES),
        ("m.jsonl", "m.jsonl", LINES),
        ("m.json", "m.json", LINES),
        ("m.json", "m.json", LIST),
        ("m.csv", "m.csv", TABLE),
        ("m.csv", "m.csv", "\ufeff" + TABLE.replace(",", ";")),
        ("m.tsv", "m.tsv", TABLE.replace(",", "\t")),
        ("logs/*/m.csv", "logs/version_0/m.csv", TABLE),
        ("**/m.csv", "logs/version_0/m.csv", TABLE),
    ],
)
def test_every_place_gives_the_last_values_and_the_curve(tmp_path: Path, source: str, name: str, content: str) -> None:
    def write() -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content.encode())

    found = after(tmp_path, source, write)
    assert found.problem == "" and found.final == {"val_metric": 0.75, "test_metric": 0.7, "train_loss": 2.0}
    curve = [(step, row["val_metric"]) for step, row in found.rows if "val_metric" in row]
    assert curve == [(10, 0.5), (20, 0.75)]
    assert next(step for step, row in found.rows if "test_metric" in row) in (20, 30)  # of a row without a step: 20
    assert dict(found.rows)[10]["train_loss"] == 2.0


@pytest.mark.parametrize("new_style", [False, True])
def test_tensorboard_events(tmp_path: Path, new_style: bool) -> None:
    values = [("acc", 0.5, 10), ("acc", 0.75, 20), ("test_acc", 0.7, 20), ("loss", 9.0, 20)]
    found = after(tmp_path, "runs", lambda: events(tmp_path / "runs" / "a", values, new_style=new_style))
    assert found.problem == ""
    assert found.final == pytest.approx({"val_metric": 0.75, "test_metric": 0.7})
    assert [step for step, _ in found.rows] == [10, 20]


def test_events_of_an_earlier_run_and_of_two_folders(tmp_path: Path) -> None:
    events(tmp_path / "runs" / "old", [("acc", 0.9, 1)])
    wanted = {"val_metric": "acc"}
    found = after(tmp_path, "runs/", lambda: events(tmp_path / "runs" / "new", [("acc", 0.5, 1)]), wanted)
    assert found.final == {"val_metric": 0.5}

    def both() -> None:
        events(tmp_path / "runs" / "train", [("acc", 0.25, 1)])
        events(tmp_path / "runs" / "val", [("acc", 0.5, 1)])

    assert after(tmp_path, "runs", both, wanted).problem == "runs: 2 folders have events with acc: runs/train, runs/val"


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data + b"\0" * 64, lambda data: data + data])
def test_damaged_events_count_up_to_the_damage(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    def write() -> None:
        events(tmp_path / "runs", [("acc", 0.5, 1)])
        for file in (tmp_path / "runs").iterdir():
            file.write_bytes(damage(file.read_bytes()))

    assert after(tmp_path, "runs", write, {"val_metric": "acc"}).final == {"val_metric": 0.5}


def test_events_whose_content_is_no_event(tmp_path: Path) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def write() -> None:
        with (tmp_path / "x.tfevents.1").open("wb") as out:
            RecordWriter(out).write(b"\xff" * 9)

    assert after(tmp_path, "*tfevents*", write).problem == "no acc in *tfevents*"


def test_tensorboard_is_asked_for_before_the_script_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files.importlib.util, "find_spec", lambda name: None)
    for source in ("runs/", "events.out.tfevents.*"):
        with pytest.raises(MissingError, match="pip install tensorboard"):
            MetricSource(source, NAMES, tmp_path, tmp_path / "stdout.txt")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no acc in the script's output"),
        ("acc: 0.9\n", "no acc in the script's output: acc is in its text, but in no line of JSON such as"),
        ("{'acc': 0.9}\n", "no acc in the script's output: acc is in its text, but in no line of JSON such as"),
        ('{"acc": null}\n', "no acc in the script's output"),
        ('{"acc": ""}\n', "no acc in the script's output"),
        ('{"acc": 0.9}\n{"acc": "high"}\n', "acc in the script's output is not a number: 'high'"),
        ('{"acc": [0.9]}\n', "acc in the script's output is not a number: '[0.9]'"),
        ('{"acc": true}\n', "acc in the script's output is not a number: 'True'"),
        ('{"acc": "93%"}\n', "acc in the script's output is not a number: '93%'"),
        ('{"acc": 1' + "0" * 400 + "}\n", "acc in the script's output is not a number: '1000"),
        ('{"acc": {"top1": 0.9}}\n', "acc in the script's output is not a number"),
        ('{"acc": 0.9}\n', "no test_acc in the script's output"),
        ('[{"acc": 0.9}]\n', "no acc in the script's output: acc is in its text"),
        ("{" * 100_000 + "}\n", "no acc in the script's output"),
        ('{"acc": 0.9', "no acc in the script's output"),
    ],
)
def test_output_without_the_metric(tmp_path: Path, content: str, problem: str) -> None:
    assert after(tmp_path, "stdout", lambda: (tmp_path / "stdout.txt").write_text(content)).problem.startswith(problem)


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        ('{"acc": "0.5"}', "acc", 0.5),
        ('{"acc": 1}', "acc", 1.0),
        ('{"acc": Infinity}', "acc", float("inf")),
        ('{"eval": {"acc": 0.5}}', "eval.acc", 0.5),
        ('{"eval.acc": 0.25, "eval": {"acc": 0.5}}', "eval.acc", 0.25),
        ('{"épreuve": 0.5}', "épreuve", 0.5),
    ],
)
def test_values_that_are_numbers(tmp_path: Path, row: str, name: str, value: float) -> None:
    found = after(tmp_path, "stdout", lambda: (tmp_path / "stdout.txt").write_text(row), {"val_metric": name})
    assert (found.problem, found.final) == ("", {"val_metric": value})


def test_a_nan_is_a_value(tmp_path: Path) -> None:
    found = after(tmp_path, "m.csv", lambda: (tmp_path / "m.csv").write_text("acc\n0.5\nnan\n"), {"val_metric": "acc"})
    assert found.problem == "" and str(found.final["val_metric"]) == "nan"
    assert [step for step, _ in found.rows] == [1, 2]  # without a step, rows are numbered


@pytest.mark.parametrize(
    ("source", "content", "problem"),
    [
        ("m.csv", b"", "no acc in m.csv"),
        ("m.csv", b"step,acc,acc\n1,2,3\n", "m.csv: two columns are named acc"),
        ("m.csv", b"step\n1,0.5\n", "no acc in m.csv"),
        ("m.csv", b"acc\n" + b'"' + b"x," * 200_000, "m.csv: field larger than field limit"),
        ("m.csv", b"\x00\xff\xfe" * 999, "no acc in m.csv"),
        ("m.json", b"\x00\xff\xfe" * 999, "no acc in m.json"),
        ("m.json", b'{"acc": 0.', "no acc in m.json"),
        ("m.json", b"0.9", "no acc in m.json"),
        ("m.json", b"[" * 100_000, "no acc in m.json"),
        ("nothing.json", None, "nothing.json: the script wrote no such file"),
        ("fifo.json", None, "fifo.json: cannot be read as a file"),
        ("a\x00b", None, "a\x00b: the script wrote no such file"),
    ],
)
def test_files_without_the_metric(tmp_path: Path, source: str, content: bytes | None, problem: str) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    found = after(tmp_path, source, lambda: content is not None and (tmp_path / source).write_bytes(content))
    assert found.problem.startswith(problem)


@pytest.mark.parametrize("source", ["m.csv", "*.csv"])
def test_a_file_left_by_an_earlier_run_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "m.csv").write_text(TABLE)
    assert (
        after(tmp_path, source, lambda: None).problem == f"{source}: left by an earlier run; this one did not write it"
    )


@pytest.mark.parametrize(
    ("source", "earlier"),
    [("stdout", '{"acc": 0.95}\n'), ("m.csv", "step,acc\n1,0.9\n2,0.95\n"), ("m.log", '{"acc": 0.95}\n')],
)
def test_of_a_file_that_grows_only_the_new_rows_count(tmp_path: Path, source: str, earlier: str) -> None:
    file, wanted = tmp_path / (source if source != "stdout" else "stdout.txt"), {"val_metric": "acc"}
    file.write_text(earlier)
    row = "1,0.25\n" if source == "m.csv" else '{"acc": 0.25}\n'

    def append(text: str) -> None:
        with file.open("a") as out:
            out.write(text)

    assert after(tmp_path, source, lambda: append(row), wanted).rows == ((1, {"val_metric": 0.25}),)
    assert after(tmp_path, source, lambda: append("\n"), wanted).problem.startswith("no acc in ")
    if source == "stdout":
        return  # it only grows
    again = after(tmp_path, source, lambda: file.write_text(earlier + "# longer than before\n" + row), wanted)
    assert again.final == {"val_metric": 0.25}


@pytest.mark.parametrize("source", ["m.csv", "m.json", "m.log"])
def test_a_file_written_anew_is_read_from_its_start(tmp_path: Path, source: str) -> None:
    texts = {"m.csv": "step,acc\n1,0.{}\n", "m.json": '[{{"acc": 0.{}}}]', "m.log": '{{"acc": 0.{}}}\n'}
    for digits in ("5", "25", "125", "125", "75"):  # longer, as long, with the same content, shorter
        text = texts[source].format(digits)
        found = after(tmp_path, source, lambda text=text: (tmp_path / source).write_text(text), {"val_metric": "acc"})
        assert found.final == {"val_metric": float(f"0.{digits}")}, digits


def test_the_newest_of_several_files_counts(tmp_path: Path) -> None:
    def write() -> None:
        for name, second in (("b.json", 2), ("a.json", 3), ("c.json", 1)):
            (tmp_path / name).write_text(json.dumps({"acc": second / 10}))
            os.utime(tmp_path / name, (2e9 + second, 2e9 + second))

    assert after(tmp_path, "*.json", write, {"val_metric": "acc"}).final == {"val_metric": 0.3}


def test_names_of_folders_are_no_wildcards(tmp_path: Path) -> None:
    folder = tmp_path / "lr=[0.1]"
    folder.mkdir()
    assert after(folder, "m.json", lambda: (folder / "m.json").write_text(LIST)).final["val_metric"] == 0.75


def test_a_header_of_a_record_that_claims_a_huge_length(tmp_path: Path) -> None:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    header = struct.pack("<Q", 2**62)

    def write() -> None:
        (tmp_path / "x.tfevents").write_bytes(header + struct.pack("<I", masked_crc32c(header)) + b"\0" * 99)

    assert after(tmp_path, "x.tfevents", write).problem == "no acc in x.tfevents"
