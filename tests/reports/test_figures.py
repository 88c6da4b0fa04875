"""Figures of a report: any report can be drawn, to the same bytes, and only changed data are drawn again."""

from __future__ import annotations

import io
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from made_report import NASTY, bare_report, failed_report, made_report
from PIL import Image

from optbench.reports.model.chapters import document
from optbench.reports.model.content import Curve, Report
from optbench.reports.model.figure import Curves, FigureAxis, FigureSeries, Lines
from optbench.reports.model.sections.targets import ladder_figure
from optbench.reports.render.figures import HASHES, write_figures
from optbench.reports.render.figures.lines import curves, lines
from optbench.reports.render.figures.style import LONGEST, look, save, short, style

KINDS = {
    "heat-maps",
    "leaderboard",
    "val-metric",
    "train-loss",
    "tuning-budget",
    "sensitivity",
    "ladder",
    "time",
    "memory",
}


def names_in(report: Report) -> list[str]:
    return [name for name, _ in document(report).figures]


def first_of(report: Report) -> Report:
    """Return a report with its first workload only."""
    return replace(report, workloads=report.workloads[:1])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of figures, drawn once. Don't change it."""
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(document(first_of(made_report())), folder)
    return folder


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    """Return a copy that may be changed."""
    return shutil.copytree(drawn, tmp_path / "figures")


def times_of(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir() if file.name != HASHES}


def test_every_kind_is_named_for_every_workload() -> None:
    names = set(names_in(made_report()))
    for start in ("mlp-on-digits", "gpt-on-docs"):
        assert {f"{start}-{kind}" for kind in (*KINDS, "trade-offs")} <= names
    assert {"across-profiles", "across-standings", "across-claim", "overview"} <= names


def test_every_figure_is_drawn(drawn: Path) -> None:
    files = {file for file in drawn.iterdir() if file.name != HASHES}
    wanted_files = {f"{name}.{ending}" for name in names_in(first_of(made_report())) for ending in ("png", "svg")}
    assert {file.name for file in files} == wanted_files
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                assert picture.width > 800 and len(picture.convert("RGB").getcolors(1 << 24)) > 3
        else:
            assert file.read_text().rstrip().endswith("</svg>")


@pytest.mark.slow
def test_the_same_report_gives_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    write_figures(document(first_of(made_report())), tmp_path)
    for file in drawn.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_only_what_changed_is_drawn_again(folder: Path) -> None:
    report = first_of(made_report())
    times = times_of(folder)
    write_figures(document(report), folder)
    assert times_of(folder) == times
    changed = replace(report.workloads[0], ladder=report.workloads[0].ladder[1:], sensitivity=())
    write_figures(document(replace(report, workloads=(changed,))), folder)
    now = times_of(folder)
    gone = {f"mlp-on-digits-{kind}.{ending}" for kind in ("sensitivity", "heat-maps") for ending in ("png", "svg")}
    assert times.keys() - now.keys() == gone
    assert {name for name in now if now[name] != times[name]} == {
        "mlp-on-digits-ladder.png",
        "mlp-on-digits-ladder.svg",
    }


def test_a_missing_file_is_drawn_again(folder: Path) -> None:
    (folder / "mlp-on-digits-time.svg").unlink()
    times = times_of(folder)
    write_figures(document(first_of(made_report())), folder)
    assert times_of(folder).keys() - times.keys() == {"mlp-on-digits-time.svg"}
    assert (folder / "mlp-on-digits-ladder.svg").stat().st_mtime_ns == times["mlp-on-digits-ladder.svg"]


@pytest.mark.parametrize("hashes", ["{", "[]", '{"mlp-on-digits-time": 1}'])
def test_a_damaged_file_of_hashes_is_no_error(tmp_path: Path, hashes: str) -> None:
    (tmp_path / HASHES).write_text(hashes)
    report = first_of(made_report(("lion", "adamw")))
    bare = replace(
        report.workloads[0],
        curves=(),
        bands=(),
        ladder=(),
        equivalent=(),
        regret=(),
        sensitivity=(),
        budget_curves=(),
        pareto=(),
        rows=(),
    )
    files = write_figures(document(replace(report, workloads=(bare,), across=None, claim=None, axes=())), tmp_path)
    assert {file.stem for file in files} == {"mlp-on-digits-time", "mlp-on-digits-memory"}
    assert all(file.exists() for file in files)


@pytest.mark.parametrize(
    "report",
    [
        made_report(NASTY),
        pytest.param(
            made_report(tuple(f"a rather long name of a contender, number {i}" for i in range(12))),
            marks=pytest.mark.slow,
        ),
        pytest.param(made_report(("日本語", "عربى", "🦁", "a\x00b\nc", "$x^2_{y$")), marks=pytest.mark.slow),
        bare_report(),
        failed_report(),
    ],
    ids=["hostile", "many", "scripts", "bare", "failed"],
)
def test_anything_can_be_drawn_without_a_warning(tmp_path: Path, report: Report) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = write_figures(document(first_of(report)), tmp_path)
    assert {file.stem for file in files} == set(names_in(first_of(report)))


def test_workloads_of_one_slug_do_not_overwrite_each_other() -> None:
    report = made_report()
    twins = tuple(replace(report.workloads[0], name=name) for name in ("a b", "a-b", "a/b"))
    names = names_in(replace(report, workloads=twins, across=None))
    assert len(names) == len(set(names))


def test_a_name_cannot_lead_out_of_the_folder() -> None:
    report = made_report()
    hostile = replace(report.workloads[0], name="../../etc/passwd")
    assert all("/" not in name and ".." not in name for name in names_in(replace(report, workloads=(hostile,))))


def test_sixteen_contenders_look_different_and_long_names_keep_their_ends() -> None:
    looks = {f"contender {i}": i for i in range(16)}
    for keys in (("color", "marker"), ("color", "linestyle")):
        found = {tuple(str(look(name, looks)[key]) for key in keys) for name in looks}
        assert len(found) == len(looks), keys
    names = [short(f"one family with a name of some length, lr={i}") for i in range(16)]
    assert len(set(names)) == len(names) and max(map(len, names)) <= LONGEST


def test_a_long_legend_leaves_the_axes_their_height() -> None:
    heights = []
    for count in (2, 12):
        names = tuple(f"a rather long name of a contender, number {i}" for i in range(count))
        with style():
            drawn = ladder_figure(made_report(names).workloads[0])
            assert drawn and isinstance(drawn.data, Lines)
            figure = lines(drawn.data, dict.fromkeys(names, 0))
            save(figure, io.BytesIO(), "svg")
            heights.append(figure.axes[0].get_position().height * figure.get_size_inches()[1])
    assert heights[1] == pytest.approx(heights[0], rel=0.15)


def test_a_loss_with_gaps_is_drawn_on_a_logarithmic_axis() -> None:
    def scale(*values: float | None) -> str:
        band = Curve("lion", "train_loss", (1, 2, 3), (1, 2, 3), (0.1, 0.2, 0.3), values)
        with style():
            return str(
                curves(Curves("train_loss", "training loss", None, (band,), ()), {"lion": 0}).axes[0].get_yscale()
            )

    assert scale(1.0, None, 0.01) == "log"
    assert scale(1.0, -1.0, 0.01) == scale(None, None, None) == "linear"


def test_error_bars_side_by_side_stay_inside_the_axes() -> None:
    series = tuple(FigureSeries(who, [8, 64], [0.8, 0.9], [0.7, 0.8], [0.9, 1.0], bars=True) for who in ("a", "b"))
    (axes,) = lines(Lines(series, FigureAxis("x", log=True), FigureAxis("y")), {"a": 0, "b": 1}).axes
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert 1 < left < 8 and 64 < right < 512 and 0.5 < low < 0.7 and 1.0 < high < 1.2
    offsets = [line.get_transform().transform((8, 0.8))[0] for line in axes.lines[::3]]
    assert len(set(offsets)) == 2 and abs(offsets[0] - offsets[1]) < 20
