"""Tables of times to target: wide, long and malformed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from optbench.errors import ConfigError, OptbenchError
from optbench.reports.algoperf.timetable import read_table, variants


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode())
    return file


def test_a_wide_table(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "\ufeffsubmission, a ,b\r\nx,1.5,inf\r\n\r\n y ,,2e3\r\n"))
    assert table.times == {"x": {"a": 1.5, "b": math.inf}, "y": {"a": math.inf, "b": 2000.0}}
    assert not table.has_studies and table.notes == ()


def test_a_long_table_takes_the_median_of_the_fastest_trials(tmp_path: Path) -> None:
    lines = ["seconds,trial,study,workload,submission"]
    for study, seconds in enumerate([(5, 3), (9, "inf"), ("", "inf")]):
        lines += [f"{value},{trial},{study},w,x" for trial, value in enumerate(seconds)]
    lines += ["4,0,0,w,y", "2,0,0,v,y"]
    table = read_table(written(tmp_path, "\n".join(lines)))
    assert table.studies["x"] == {"w": (3.0, 9.0, math.inf), "v": (math.inf,)}
    assert table.times["x"] == {"w": 9.0, "v": math.inf}
    assert table.has_studies
    assert [note.split(":")[0] for note in table.notes] == [
        "x has no trial of v",
        "there are 1 to 3 studies",
        "studies have 1 to 2 trials",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("\n \n", "the table is empty"),
        ("submission,a\n", "the table has no rows"),
        ("submission\nx\n", "no workload columns"),
        ("name,a\nx,1\n", "line 1: the first column is 'name'"),
        ("submission,a,a\nx,1,2\n", "line 1: duplicate column a"),
        ("submission,a,b\nx,1\n", "line 2: 2 cells, but the header has 3"),
        ("submission,a\nx,1\nx,2\n", "line 3: duplicate submission x"),
        ("submission,a\n,1\n", "line 2: the column submission is empty"),
        ("submission,a\nx,fast\n", "line 2, a: 'fast' is not a time"),
        ("submission,a\nx,nan\n", "line 2, a: 'nan' is not a time"),
        ("submission,a\nx,-1\n", "line 2, a: '-1' is not a time"),
        ("submission,a\nx,0\n", "line 2, a: '0' is not a time"),
        ("submission,a\nx,-inf\n", "line 2, a: '-inf' is not a time"),
        (
            "submission,workload,study,trial,seconds\nx,w,0,0,1\nx,w,0,0,2\n",
            "line 3: duplicate trial 0 of study 0",
        ),
        ("submission,workload,study,trial,seconds\nx,,0,0,1\n", "line 2: the column workload is empty"),
        ("submission,workload,study,trial,seconds\nx,w,0,0,soon\n", "line 2, seconds: 'soon' is not a time"),
        ('submission,a\n"x', "2 cells|1 cells|CSV"),
    ],
)
def test_errors_name_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_table(written(tmp_path, text))


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_table(file)
    with pytest.raises(OptbenchError, match="cannot be read"):
        read_table(tmp_path)


def test_variants_belong_to_the_workload_they_extend() -> None:
    names = ["w", "w_a", "wide", "v_x", "v", "v_x_y", "vv"]
    assert variants(names) == {"w": ["w_a"], "v": ["v_x", "v_x_y"]}
    assert variants(["librispeech_conformer", "librispeech_deepspeech", "librispeech_conformer_gelu"]) == {
        "librispeech_conformer": ["librispeech_conformer_gelu"]
    }
    assert variants(["a", "ab"]) == {}
