"""The page of a scored table, and the one that is published."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from conftest import Call
from test_scoring import A100

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "results" / "algoperf"
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def table_in(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "table.csv").read_text().splitlines()))


def test_the_published_page_is_what_its_command_writes(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code, out, _ = call("score", A100.relative_to(ROOT), "--trapezoid", "-o", tmp_path)
    assert code == 0 and f"written: {tmp_path / 'README.md'}" in out
    written, kept = ((folder / "README.md").read_text() for folder in (tmp_path, PUBLISHED))
    written = written.replace(str(tmp_path), str(PUBLISHED.relative_to(ROOT)))
    assert NUMBER.sub("#", written) == NUMBER.sub("#", kept)
    found, expected = (list(map(float, NUMBER.findall(text))) for text in (written, kept))
    assert found == pytest.approx(expected, abs=1.001)  # a percentage may be rounded the other way
    rows, before = table_in(tmp_path), table_in(PUBLISHED)
    assert [row["submission"] for row in rows] == [row["submission"] for row in before]
    for row, old in zip(rows, before, strict=True):
        for name, value in old.items():
            assert row[name] == value or float(row[name]) == pytest.approx(float(value), abs=1e-6), name
    for name in ("scores.png", "profiles.png"):
        assert all((folder / name).read_bytes().startswith(b"\x89PNG") for folder in (tmp_path, PUBLISHED))
        assert f"({name})" in kept


def test_the_page_says_what_its_numbers_mean(tmp_path: Path, call: Call) -> None:
    call("score", A100, "--trapezoid", "--reference", "lion", "--r-max", "3", "-o", tmp_path)
    page = " ".join((tmp_path / "README.md").read_text().replace("\\", "").split())
    assert "say nothing of other workloads" in page and "Apache-2.0" in page
    assert f"--trapezoid --r-max 3 --reference lion -o {tmp_path}" in page
    row = table_in(tmp_path)[0]
    assert float(row["speed_up"]) > 1 and {"studies_rank_low", "workloads_score_high"} <= set(row)


def test_a_table_without_intervals_has_a_page(tmp_path: Path, call: Call) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("# not a title, a line of source\nsubmission,u,v\n#a,1,inf\nb,2,2\n")
    code, out, _ = call("score", table, "-o", tmp_path / "page")
    page = (tmp_path / "page" / "README.md").read_text()
    assert code == 0 and "#a" in out
    assert "# not a title" in page and "Drawing" not in page and "| b | 0.8333 | 2/2 |" in page


def test_another_s_readme_is_not_overwritten(tmp_path: Path, call: Call) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")
    code, _, err = call("score", A100, "-o", tmp_path)
    assert code == 2 and "was not written by optbench score" in err
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
    assert call("score", A100, "-o", tmp_path / "new")[0] == call("score", A100, "-o", tmp_path / "new")[0] == 0
