"""The HTML report in a browser: no errors, no requests, in both themes, on a phone and in print."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import CHROMIUM, Tab, browser
from made_report import NASTY, bare_report, failed_report, made_report

from optbench.reports.render.write import write_report

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here")
PAGES = ("made", "nasty", "bare", "failed", "one")
READY = "document.documentElement.dataset.ready"
DRAWN = "Array.from(document.querySelectorAll('.plot')).every((plot) => plot.querySelector('.main-svg'))"
INK = "getComputedStyle(document.body).backgroundColor"
SIDEWAYS = "document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    made = made_report(root=folder)
    one = replace(made, workloads=made.workloads[:1], across=None)  # fewer figures: quicker
    reports = (made, made_report(NASTY, root=folder), bare_report(), failed_report(), one)
    for name, report in zip(PAGES, reports, strict=True):
        (page,) = write_report(report, folder / name, root=folder, kinds=("html",))
        page.rename(folder / f"{name}.html")
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def show(tab: Tab, page: Path, *, width: int = 1280, dark: bool = False) -> None:
    """Open a report and wait until all of it is drawn."""
    tab.open(page, width=width, dark=dark, mobile=width < 500)
    tab.wait(READY)
    tab.wait(DRAWN)


def other_requests(tab: Tab, page: Path) -> list[str]:
    """Return the requests that are not for the page itself and the data in it."""
    return [url for url in tab.requests if url != page.as_uri() and not url.startswith(("data:", "blob:"))]


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        *(("made", 1280, False), ("made", 390, True), ("nasty", 1280, True), ("nasty", 390, False)),
        *(("bare", 390, True), ("failed", 390, False)),
    ],
)
def test_it_opens_without_errors_and_requests(tab: Tab, folder: Path, name: str, width: int, dark: bool) -> None:
    page = folder / f"{name}.html"
    show(tab, page, width=width, dark=dark)
    assert tab.messages == []
    assert other_requests(tab, page) == []
    assert tab.value("innerWidth") == width
    assert not tab.value(SIDEWAYS)
    assert tab.value(INK) == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


BAD = {
    "fetches": ("<script>fetch('http://127.0.0.1:9/x').catch(() => 0)</script>", True, True),
    "draws": ("<img src='http://127.0.0.1:9/x.png'>", True, True),
    "imports": ("<style>@import url('http://127.0.0.1:9/x.css');</style>", True, True),
    "loads": ("<script src='beside.js'></script>", True, True),
    "throws": ("<script>null.x</script>", True, False),
    "says": ("<script>console.warn('x')</script>", True, False),
    "wide": ("<div style='width:500px'>x</div>", False, False),
}


@pytest.mark.parametrize("name", list(BAD))
def test_the_checks_can_fail(tab: Tab, tmp_path: Path, name: str) -> None:
    body, says, asks = BAD[name]
    page = tmp_path / f"{name}.html"
    start = "addEventListener('load', () => setTimeout(() => { document.documentElement.dataset.ready = 'true' }, 100))"
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    page.write_text(f"<!DOCTYPE html><html><head>{head}<title>x</title></head><body>{body}<script>{start}</script>")
    tab.open(page, width=390, mobile=True)
    tab.wait(READY)
    assert bool(tab.messages) == says
    assert bool(other_requests(tab, page)) == asks
    assert bool(tab.value(SIDEWAYS)) == (name == "wide")


def test_its_policy_refuses_requests_and_scripts(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    refused = "fetch('http://127.0.0.1:9/x').then(() => 'done', () => 'refused')"
    assert tab.value(refused) == "refused"
    assert any("Content Security Policy" in text for text in tab.messages)
    tab.value("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert tab.value("window.ran") is None


def test_names_in_figures_are_escaped(tab: Tab, folder: Path) -> None:
    show(tab, folder / "nasty.html")
    legends = tab.value("Array.from(document.querySelectorAll('.legendtext'), (text) => text.textContent)")
    assert {"<script>alert(1)</script>", "</script><b>bold & co</b>"} <= set(legends)
    assert tab.value("document.querySelectorAll('.plot b, .plot img, .plot a, img[src^=x]').length") == 0
    assert tab.value("document.querySelectorAll('.plot tspan[style*=bold]').length") == 0
    assert tab.value("document.querySelector('#runs-table bdi').textContent") == NASTY[0]


def test_runs_are_found_sorted_and_opened(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    assert tab.value("document.getElementById('found').textContent") == "104 of 104 runs"
    typed = "const box = document.getElementById('filter'); box.value = 'muon FINAL gpt';"
    tab.value(f"{{ {typed} box.dispatchEvent(new Event('input')) }}")
    assert tab.value("document.getElementById('found').textContent") == "5 of 104 runs"
    rows = "Array.from(document.querySelectorAll('#runs-table tbody tr'), (row) => row.cells[5].textContent)"
    seed = "document.querySelector('[data-sort=seed]').click()"
    tab.value(seed)
    assert tab.value(rows) == ["1000", "1001", "1002", "1003", "1004"]
    tab.value(seed)
    assert tab.value(rows) == ["1004", "1003", "1002", "1001", "1000"]
    tab.value("document.querySelector('#runs-table tbody button').click()")
    shown = tab.value("Array.from(document.querySelectorAll('.detail pre'), (text) => text.textContent)")
    assert shown[0] == "optbench run optimizer=muon model=mlp optimizer.lr=0.004 seed=1004"
    assert shown[1].startswith('optimizer:\n  name: "muon"\n  lr: 0.004\n')
    assert "label_smoothing: 0.0\n" in shown[1]
    tab.value("document.querySelector('.detail button').click()")
    tab.wait("document.querySelector('.detail button').textContent === 'Copied'")
    tab.value("document.querySelector('#runs-table tbody button').click()")
    assert tab.value("document.querySelectorAll('.detail').length") == 0
    assert tab.messages == []


def test_runs_without_a_value_come_last_either_way(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    tab.value("document.getElementById('more').click()")
    for _ in range(2):
        tab.value("document.querySelector('[data-sort=test]').click()")
        tests = tab.value(
            "Array.from(document.querySelectorAll('#runs-table tbody tr'), (r) => r.cells[9].textContent)"
        )
        known = [text for text in tests if text != "\u2013"]
        assert len(known) == 38
        assert tests[: len(known)] == known


def test_figures_follow_the_theme(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    line = "document.querySelector('.plot').data.at(-1).line.color"
    light = tab.value(line)
    tab.value("document.getElementById('theme').click()")
    tab.wait(f"{line} !== '{light}'")
    assert tab.value(INK) == "rgb(20, 23, 27)"
    tab.open(folder / "one.html")
    tab.wait(READY)
    assert tab.value(INK) == "rgb(20, 23, 27)"  # it remembers
    tab.value("localStorage.clear()")
    assert tab.messages == []


def test_curves_can_be_chosen(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    plot = "document.querySelector('.plot')"
    assert tab.value(f"{plot}.layout.yaxis.title.text") == "validation accuracy"
    before = tab.value(f"{plot}.data.length")
    choose = "{{ const list = document.querySelectorAll('.choices select')[{}]; list.value = '{}'; "
    choose += "list.dispatchEvent(new Event('change')) }}"
    tab.value(choose.format(0, "train_loss"))
    tab.value(choose.format(1, "seconds"))
    assert tab.value(f"{plot}.layout.yaxis.title.text") == "training loss"
    assert tab.value(f"{plot}.layout.xaxis.title.text") == "training seconds"
    for box in (0, 1):
        tab.value(f"document.querySelectorAll('.choices input')[{box}].click()")
    assert tab.value(f"{plot}.layout.yaxis.type") == "log"
    assert tab.value(f"{plot}.data.length") > before + 4 * 5  # a line for each seed, a cross for each that diverged
    ends = tab.value(f"{plot}.data.map((trace) => trace.x.at(-1))")
    assert 0.5 < max(ends) < 1  # seconds, of 300 steps of 2 ms
    assert tab.messages == []


def test_a_gap_in_a_band_is_not_filled_across(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    choose = "{ const list = document.querySelector('.choices select'); list.value = 'train_loss'; "
    tab.value(choose + "list.dispatchEvent(new Event('change')) }")
    filled = "document.querySelector('.plot').data.filter((t) => t.fill === 'tonexty')"
    assert tab.value(f"{filled}.length") == 4 * 2  # each band has one gap
    assert tab.value(f"{filled}.every((t) => t.y.every((y) => y !== null))")


def test_print_is_light_and_hides_long_parts(tab: Tab, folder: Path, tmp_path: Path) -> None:
    show(tab, folder / "one.html", dark=True)
    tab.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    theme = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=theme)
    tab.value("dispatchEvent(new Event('beforeprint'))")
    assert tab.value(INK) == "rgb(255, 255, 255)"
    assert tab.value("document.querySelector('.plot').data.at(-1).line.color") == "#b4508b"
    shown = "getComputedStyle(document.querySelector('{}')).display"
    assert [tab.value(shown.format(which)) for which in ("#runs", "nav", ".choices", ".numbers")] == ["none"] * 4
    tab.value("dispatchEvent(new Event('afterprint'))")
    tab.call("Emulation.setEmulatedMedia", media="", features=theme)
    assert tab.value(INK) == "rgb(20, 23, 27)"
    assert tab.messages == []


def test_headings_go_down_one_by_one_and_controls_have_names(tab: Tab, folder: Path) -> None:
    show(tab, folder / "one.html")
    levels = tab.value("Array.from(document.querySelectorAll('h1,h2,h3,h4'), (h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    nameless = "Array.from(document.querySelectorAll('button, input, select')).filter((e) => "
    nameless += "!e.textContent.trim() && !e.getAttribute('aria-label') && !(e.labels && e.labels.length)).length"
    assert tab.value(nameless) == 0


CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const behind = (e) => {
    const back = parts(getComputedStyle(e).backgroundColor);
    return back.length === 3 || back[3] === 1 || !e.parentElement ? back : behind(e.parentElement);
  };
  const worded = (e) => Array.from(e.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim());
  const found = {};
  for (const e of document.querySelectorAll('body *:not(script)')) {
    if (e.closest('.plot, svg') || !worded(e)) continue;
    const value = ratio(parts(getComputedStyle(e).color), behind(e));
    if (value < 4.5) found[e.tagName + '.' + e.className] = value;
  }
  const dot = document.querySelector('.dot');
  for (let n = 0; n < 8; n++) {
    dot.className = 'dot c' + n;
    const value = ratio(parts(getComputedStyle(dot).backgroundColor), behind(document.body));
    if (value < 3) found['c' + n] = value;
  }
  return found;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_and_colours_stand_out(tab: Tab, folder: Path, dark: bool) -> None:
    show(tab, folder / "one.html", dark=dark)
    assert tab.value(CONTRAST) == {}  # 4.5 for text, 3 for graphics: WCAG 2.1, 1.4.3 and 1.4.11
    tab.value("document.querySelector('.facts').style.color = 'rgb(127, 127, 127)'")
    assert list(tab.value(CONTRAST)) == ["P.facts"]


HIDDEN = """(() => {
  const cut = [];
  for (const box of document.querySelectorAll('.scroll')) {
    if (!box.offsetParent) continue;
    if (getComputedStyle(box).overflowX !== 'auto') cut.push('no scroll: ' + box.getAttribute('aria-label'));
    box.scrollLeft = 1e6;
    const right = box.getBoundingClientRect().right + 1;
    for (const cell of box.querySelectorAll('tr > :last-child')) {
      if (cell.getBoundingClientRect().right > right) cut.push(cell.textContent);
    }
  }
  for (const cell of document.querySelectorAll('td, td button, td code, th')) {
    const hides = cell.offsetParent && getComputedStyle(cell).overflowX === 'hidden';
    if (hides && cell.scrollWidth > cell.clientWidth) cut.push(cell.textContent);
  }
  return cut;
})()"""
FIRST = "Array.from(document.querySelectorAll('#runs .scroll, #verdict .scroll'))"


@pytest.mark.parametrize("width", [1280, 390])
def test_no_cell_is_cut_off(tab: Tab, folder: Path, width: int) -> None:
    show(tab, folder / "made.html", width=width)
    assert tab.value(HIDDEN) == []
    if width == 1280:
        assert not tab.value(f"{FIRST}.some((box) => box.scrollWidth > box.clientWidth)")  # they fit
    style = "const s = document.createElement('style'); s.textContent = '.scroll { overflow: hidden !important }'; "
    assert tab.value(f"{{ {style} document.head.append(s) }}; {HIDDEN}") != []


def test_the_first_screen_is_in_order_and_in_sight(tab: Tab, folder: Path) -> None:
    show(tab, folder / "made.html")
    places = [
        tab.value(f"document.querySelector('#verdict {part}').getBoundingClientRect().top")
        for part in (".claim", ".answer", ".standings table", ".warnings")
    ]
    assert places == sorted(places) and places[-1] < 900
    assert tab.value("document.querySelectorAll('#verdict .warnings li').length") == 3
    assert tab.value("document.querySelectorAll('#verdict .panels svg').length") == 2
    drawn = "document.querySelectorAll('#verdict .panels g')"
    found = tab.value(f"Array.from({drawn}, (part) => getComputedStyle(part).color)")
    assert len(set(found)) == 4  # one for each contender, the same in both panels


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_list_of_studies_opens_without_errors(tab: Tab, tmp_path: Path, width: int, dark: bool) -> None:
    from optbench.reports.model.index import IndexEntry
    from optbench.reports.render.write import write_index

    entry = IndexEntry("study", "Is <b>it</b> better?", "undecided", ("Nobody knows.",) * 9, "2026-01-31", 3, 1, True)
    (page,) = write_index([entry, replace(entry, has_report=False)], tmp_path, title="Studies", kinds=("html",))
    tab.open(page, width=width, dark=dark, mobile=width < 500)
    tab.wait("document.querySelectorAll('.index tbody tr').length === 2")
    assert tab.messages == [] and other_requests(tab, page) == [] and not tab.value(SIDEWAYS)
    assert tab.value("document.querySelectorAll('.index a').length") == 1
    assert tab.value(INK) == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
