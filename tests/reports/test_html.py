"""The HTML report as text: everything is escaped, nothing is loaded, every section is there."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_report import NAMES, NASTY, bare_report, failed_report, made_pictures, made_report

from optbench.errors import OptbenchError
from optbench.reports.model.chapters import document
from optbench.reports.model.content import Estimate, Report
from optbench.reports.model.figure import FigureAxis
from optbench.reports.model.table import Whisker
from optbench.reports.render.html.markup import Markup, join, printable, tag
from optbench.reports.render.html.packing import differences, packed
from optbench.reports.render.html.page import script, to_html
from optbench.reports.render.html.pictures import Album, gallery
from optbench.reports.render.html.plots import axis, label
from optbench.reports.render.html.runs import yaml
from optbench.reports.render.html.whisker import scale
from optbench.reports.render.write import write_report

PLACES = {name: place for place, name in enumerate(sorted(NAMES))}
VOID = {"meta", "img", "input", "br"}


class Skeleton(HTMLParser):
    """The elements of a page with their attributes, the text between them, and what each script holds."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data[:80]}")

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.elements if name in attrs]


def html_of(report: Report) -> str:
    return to_html(document(report), Path("nowhere"))


def data_of(page: str) -> dict[str, Any]:
    """Return the data that page.js unpacks."""
    found = re.search(r'<script type="application/octet-stream" id="data">([^<]*)</script>', page)
    assert found

    def refused(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(zlib.decompress(base64.b64decode(found[1])), parse_constant=refused)


@pytest.fixture(scope="module")
def page() -> str:
    return html_of(made_report())


@pytest.fixture(scope="module")
def nasty() -> str:
    return html_of(made_report(NASTY))


def test_every_section_is_there_in_order_and_listed(page: str) -> None:
    skeleton = Skeleton(page)
    ids = skeleton.values("id")
    parts = ("leaderboard", "verdicts", "curves", "budget", "sensitivity", "heat-maps", "target", "ladder")
    parts += ("resources", "pareto", "stability")
    wanted = [
        "verdict",
        "claim",
        "w1",
        *(f"w1-{part}" for part in parts),
        "w2",
        *(f"w2-{part}" for part in parts),
    ]
    wanted += ["across", "across-scores", "across-ranks", "across-profiles", "across-without"]
    wanted += ["failures", "assumptions", "mixed", "skipped", "runs"]
    assert [found for found in ids if found in wanted] == wanted
    assert len(ids) == len(set(ids))
    links = [href.removeprefix("#") for tag, attrs in skeleton.elements if tag == "a" and (href := attrs["href"])]
    assert set(links) <= set(ids)
    assert set(wanted) <= set(links)


def test_the_verdict_comes_before_everything_else(page: str) -> None:
    main = page[page.index("<main") :]
    places = [
        main.index(text) for text in ("mlp on digits: use lion.", "3 runs have not ended", ">Leaderboard", "Runs<")
    ]
    assert places == sorted(places)


def test_a_workload_is_named_in_its_heading_only() -> None:
    report = made_report()
    answer = ("mlp on digits: use lion.", "mlp on digits: lion is better.", "mlp on digits: <b>")
    workload = replace(report.workloads[0], answer=answer)
    text = Skeleton(html_of(replace(report, workloads=(workload, report.workloads[1])))).text
    assert {"Use lion.", "lion is better.", "<b>"} <= set(text)


def test_every_figure_has_its_data_and_every_table_its_caption(page: str) -> None:
    skeleton = Skeleton(page)
    figures = data_of(page)["figures"]
    assert skeleton.values("data-figure") == [str(n) for n in range(len(figures))]
    assert {figure["kind"] for figure in figures} == {"curves", "lines", "bars", "points"}
    tags = skeleton.tags()
    assert tags.count("table") == tags.count("caption") + tags.count("summary") == tags.count("thead")
    assert skeleton.elements[0] == ("html", {"lang": "en"})


def test_names_are_escaped(page: str, nasty: str) -> None:
    plain, found = Skeleton(page), Skeleton(nasty)
    assert sorted(found.tags()) == sorted(plain.tags())
    assert len(found.scripts) == 3
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on")]
    assert all(href.startswith("#") for href in found.values("href"))
    text = "\n".join(found.text)
    for name in NASTY:
        assert text.count(name) > 20
    assert "train_loss is nan at step 40 <b>of</b> 300" in text
    assert "lion-vit/<i>odd</i>" in text


def test_labels_of_figures_are_escaped_for_plotly(nasty: str) -> None:
    data = data_of(nasty)
    assert set(data["names"]) == set(NASTY)  # page.js escapes these
    bars = [figure for figure in data["figures"] if figure["kind"] == "bars"]
    labels = bars[0]["y"]["labels"]
    assert len(labels) == 4
    assert not [text for text in labels if "<" in text or ">" in text]
    assert label("<b>&</b>") == "&lt;b&gt;&amp;&lt;/b&gt;"
    assert label("x" * 50, 10) == "x" * 9 + "…"


TEXT = st.text(st.characters(), min_size=1, max_size=40) | st.sampled_from(NASTY)


@settings(deadline=None, max_examples=40)
@given(TEXT, TEXT)
def test_any_text_is_escaped(name: str, other: str) -> None:
    report = bare_report()
    row = replace(report.workloads[0].rows[0], contender=name, implementation=other, tuned={name: other}, trials=1)
    row = replace(row, edges=((other, name),))
    workload = replace(report.workloads[0], name=other, metric=name, rows=(row,), warnings=(name,))
    texts = {"title": name, "answer": (other,), "assumptions": (name,), "skipped": ((name, other),), "command": name}
    found = Skeleton(html_of(replace(report, workloads=(workload,), **texts)))
    same = replace(workload, rows=(replace(row, tuned={"b": "x", "a": "x"}, edges=(("a", "b"),)),))
    tags = Skeleton(html_of(replace(report, workloads=(same,), **texts))).tags()
    if name != other:
        assert found.tags() == tags
    assert set(found.tags()) <= set(tags)
    assert not [key for _, attrs in found.elements for key in attrs if key.startswith("on")]
    assert len(found.scripts) == 3


def test_the_page_loads_nothing(page: str) -> None:
    skeleton = Skeleton(page)
    assert not skeleton.values("src")
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(skeleton.tags())
    policy = next(attrs["content"] for _, attrs in skeleton.elements if "http-equiv" in attrs)
    assert policy and policy.startswith("default-src 'none'; ")
    own = [text for text in skeleton.scripts if len(text) > 1000 and "function" in text]
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in own}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert len(hashes) == 2
    assert "url(" not in page[page.index("<style>") : page.index("</style>")]


def test_a_script_cannot_be_ended_from_within() -> None:
    source = 'a = "</script><b>"; b = "<!--"; c = "</SCRIPT >"'
    text, digest = script(source)
    inner = text.removeprefix("<script>").removesuffix("</script>")
    assert "</script" not in inner.lower()
    assert "<!--" not in inner
    assert digest == f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    pages = [to_html(document(made_report(root=tmp_path)), tmp_path) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_page_that_cannot_be_written_raises_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptbenchError, match="cannot be written"):
        write_report(bare_report(), tmp_path / "file", root=tmp_path, kinds=("html",))


@pytest.mark.parametrize("made", [bare_report, failed_report], ids=["bare", "failed"])
def test_sections_without_data_are_left_out(made: Any) -> None:
    report: Report = made()
    skeleton = Skeleton(html_of(report))
    assert report.answer[0] in skeleton.text
    assert "w1-leaderboard" in skeleton.values("id")
    absent = ("curves", "budget", "sensitivity", "target", "ladder", "resources", "pareto", "stability", "samples")
    assert not {f"w1-{part}" for part in absent} & set(skeleton.values("id"))
    assert "nan" not in " ".join(skeleton.text).replace("train_loss is nan", "")


def test_an_empty_report_is_a_page_too() -> None:
    report = replace(bare_report(), workloads=(), answer=("Nothing.",))
    assert "Nothing." in Skeleton(html_of(report)).text


def test_nonfinite_numbers_are_shown_as_missing() -> None:
    report = made_report(("sgd", "lion"))
    workload = report.workloads[0]
    odd = Estimate(math.nan, -math.inf, math.inf, 3)
    rows = tuple(replace(row, test=odd, gap=odd, values=(math.nan, 1.0)) for row in workload.rows)
    runs = tuple(replace(run, val=math.inf, config={"lr": math.nan}) for run in report.runs)
    page = html_of(replace(report, workloads=(replace(workload, rows=rows),), runs=runs))
    found = data_of(page)["runs"][0]
    assert (found["val"], found["config"]) == (None, "lr: NaN")
    assert "inf" not in [word for text in Skeleton(page).text for word in text.split()]


def test_curves_are_packed_without_loss(page: str) -> None:
    report = made_report()
    figure = next(figure for figure in data_of(page)["figures"] if figure["kind"] == "curves")
    assert list(figure["columns"]) == ["val_metric", "train_loss"]
    assert figure["targets"] == {"val_metric": report.workloads[0].target}
    drawn = figure["columns"]["train_loss"]["runs"][0]
    curve = next(c for c in report.workloads[0].curves if (c.contender, c.column) == ("adamw", "train_loss"))
    assert tuple(running(drawn["step"])) == curve.step
    assert drawn["samples"] == 64
    seconds = [tick * drawn["tick"] for tick in running(drawn["seconds"])]
    assert seconds == pytest.approx(curve.train_seconds, abs=max(curve.train_seconds) / 4000)
    assert [v is None for v in drawn["value"]] == [v is None for v in curve.value]
    known = [(a, b) for a, b in zip(drawn["value"], curve.value, strict=True) if b is not None]
    assert all(a == pytest.approx(b, rel=1e-4) for a, b in known)


def running(differences: list[int]) -> list[int]:
    return [sum(differences[: n + 1]) for n in range(len(differences))]


@given(st.lists(st.integers(0, 10**9)))
def test_differences_add_up_again(values: list[int]) -> None:
    assert running(differences(values)) == values


def test_a_large_report_is_a_small_file() -> None:
    names = tuple(f"contender-{n}" for n in range(10))
    report = made_report(names, records=1000, trials=45)
    assert len(report.runs) == 1000
    assert sum(len(c.step) for w in report.workloads for c in w.curves) > 100_000
    assert len(html_of(report)) < 4_000_000


def test_many_verdicts_open_on_a_click() -> None:
    few, many = (made_report(tuple(f"contender-{n}" for n in range(count)), records=2, trials=1) for count in (4, 5))
    for report, folds in ((few, 0), (many, 2)):
        page = Skeleton(html_of(report))
        assert sum("verdicts with their evidence" in text and text.startswith("All ") for text in page.text) == folds
        assert sum("Welch's t" in text for text in page.text) == 2 * len(report.workloads[0].pairs)


def test_pictures_are_inlined_up_to_a_limit(tmp_path: Path) -> None:
    pictures = made_pictures(NAMES, tmp_path)
    shown = Skeleton(gallery(Album(), pictures, PLACES, tmp_path))
    assert len(shown.values("src")) == 8
    assert all(src.startswith("data:image/png;base64,") for src in shown.values("src"))
    few = gallery(Album(pictures=5), pictures, PLACES, tmp_path)
    assert len(Skeleton(few).values("src")) == 5
    assert "3 of 8 pictures are not shown" in few
    last = [title for title in Skeleton(few).values("title") if "step 40" in title]
    assert len(last) == 4  # the latest of each contender first
    assert "8 of 8 pictures" in gallery(Album(bytes=10), pictures, PLACES, tmp_path)


def test_files_that_are_no_picture_are_left_out(tmp_path: Path) -> None:
    pictures = made_pictures(NAMES, tmp_path)
    (tmp_path / pictures[0].path).write_text("<svg onload=alert(1)>")
    (tmp_path / pictures[1].path).unlink()
    found = gallery(Album(), pictures, PLACES, tmp_path)
    assert len(Skeleton(found).values("src")) == 6
    assert "2 of 8 pictures are not shown" in found


def test_a_scale_spans_all_ends_and_a_near_target() -> None:
    one = Estimate(1.0, 0.5, 1.5, 3)
    found = scale([Whisker(one, (0.4,), (2.0,))])
    assert found and (found.low, found.high) == (0.4, 2.0)
    assert scale([Whisker(Estimate(None))]) is None
    far = scale([Whisker(one, (), (20.0,))])
    assert far and far.high == 1.5


def test_a_config_is_written_exactly() -> None:
    config = {"optimizer": {"lr": 1.0, "betas": [0.9, 0.999], "none": None}, "seed": 2**60, "empty": {}, "name": 'a"b'}
    assert yaml(config) == (
        f'optimizer:\n  lr: 1.0\n  betas: [0.9, 0.999]\n  none: null\nseed: {2**60}\nempty: {{}}\nname: "a\\"b"'
    )


def test_elements_escape_what_is_not_markup() -> None:
    assert tag("p", "<b>", class_='"x"', title=None) == '<p class="&#34;x&#34;">&lt;b&gt;</p>'
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"
    assert join(["<", None, Markup("<br>")], ", ") == "&lt;, <br>"
    assert printable("a\x00\u202eb\ud800") == "a\ufffd\ufffdb\ufffd"


def test_packing_writes_nonfinite_numbers_as_null() -> None:
    text = zlib.decompress(base64.b64decode(packed({"a": [1, math.nan, {"b": math.inf}]}))).decode()
    assert text == '{"a":[1,null,{"b":null}]}'


def test_packing_writes_any_sequence_as_a_list() -> None:
    text = zlib.decompress(base64.b64decode(packed({"x": range(1, 4), "y": (0.5, None)}))).decode()
    assert text == '{"x":[1,2,3],"y":[0.5,null]}'


def test_ticks_of_a_short_logarithmic_axis_are_round_numbers() -> None:
    of = FigureAxis("samples", log=True)
    assert axis(of, [17_600, 96_000])["values"] == [20_000.0, 50_000.0]
    assert axis(of, [5e-4, 2e-2])["values"] == [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
    assert axis(of, [1e-4, 1e-1])["every"] == 1 and "values" not in axis(of, [1e-4, 1e-1])
    assert "values" not in axis(of, [2.1, 4.9]), "one round number alone says nothing"
    assert axis(FigureAxis("steps", log=True, ticks=(100, 400)), [100, 400])["values"] == (100, 400)


def test_nothing_heavy_is_loaded() -> None:
    code = "import sys, optbench.reports.render.html.page as page\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {
        "torch",
        "hydra",
        "omegaconf",
        "numpy",
        "scipy",
        "polars",
        "matplotlib",
        "rich",
        "jinja2",
        "PIL",
    }
