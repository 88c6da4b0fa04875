"""The whole page: everything inlined, and a policy that lets it load nothing and run no script but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from optbench.reports.model.content import Report
from optbench.reports.model.document import Document
from optbench.reports.model.index import IndexEntry, index_table
from optbench.reports.model.numbers import DASH, counted
from optbench.reports.render.html.body import Body
from optbench.reports.render.html.markup import UNSHOWN, join, tag
from optbench.reports.render.html.packing import packed
from optbench.reports.render.html.runs import run_data
from optbench.reports.render.html.table import html_table
from optbench.reports.render.palette import PHASES, palette

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "script-src {}",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


def to_html(document: Document, root: Path, refresh: int | None = None) -> str:
    """Return the page. `root`: the results folder that pictures lie in. `refresh`: seconds after which an open page
    loads itself again."""
    report = document.report
    body = Body(document, root)
    main = tag("main", *body.drawn(), id="main")
    runs = [run_data(run, body.place(run.contender)) for run in report.runs]
    island = packed({"names": document.contenders, "figures": body.plots, "runs": runs})
    return page(
        report.title,
        join([header(report), contents(body.contents), main, footer(report)]),
        data=tag("script", island, type="application/octet-stream", id="data"),
        sources=[asset("vendor/plotly-basic.min.js"), own_script()],
        style=colours(len(document.contenders) + 1),
        refresh=refresh,
    )


def to_html_index(entries: Sequence[IndexEntry], title: str, made_with: str, refresh: int | None = None) -> str:
    """Return the page that lists several studies; it has no script, its theme is the system's."""
    about = tag("p", counted(len(entries), "study", "studies"), class_="facts")
    head = tag("header", tag("div", tag("p", "optbench report", class_="over"), tag("h1", title), about))
    listed = index_table(entries).shown_in("html")
    main = tag("main", tag("section", html_table(listed, {}) if listed else None), id="main", class_="index")
    footer = tag("footer", tag("p", f"Made with {made_with}."))
    return page(title, join([head, main, footer]), refresh=refresh)


def page(
    title: str,
    shown: Markup,
    data: Markup | None = None,
    sources: Sequence[str] = (),
    style: str = "",
    refresh: int | None = None,
) -> str:
    """Return a whole page around what it shows, with its data and its scripts."""
    scripts = [script(source) for source in sources]
    policy = POLICY.format(" ".join(digest for _, digest in scripts) or "'none'")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="refresh", content=str(refresh)) if refresh else None,
        tag("title", f"{title} {DASH} optbench"),
        tag("style", Markup(asset("page.css")), Markup(style)),
    )
    start = UNSHOWN.sub("\ufffd", f'<!DOCTYPE html>\n<html lang="en">{head}<body>{shown}')
    return f"{start}{data or ''}{''.join(text for text, _ in scripts)}</body></html>\n"


def colours(contenders: int) -> str:
    """Return the contenders' colours as CSS; for dark paper twice, for the system's wish and the page's switch."""
    found = palette(contenders)
    light, dark = ("".join(f"--c{n}:{pair[on]};" for n, pair in enumerate(found)) for on in (0, 1))
    phases = "".join(f"--p{n}:{colour};" for n, colour in enumerate(PHASES))
    classes = "".join(f".c{n}{{color:var(--c{n})}}" for n in range(contenders))
    system = f'@media (prefers-color-scheme: dark) {{:root:not([data-theme="light"]) {{{dark}}}}}'
    return f':root {{{light}{phases}}}{system}:root[data-theme="dark"] {{{dark}}}{classes}'


def asset(name: str) -> str:
    """Return the text of a file of this package."""
    return (files("optbench.reports.render.html") / name).read_text(encoding="utf-8")


def own_script() -> str:
    """Return the page's own JavaScript as one script, its names kept to itself."""
    return "\n".join(
        ['(function () {\n"use strict";', *map(asset, ("page.js", "figures.js", "runs.js")), "start();\n})();"]
    )


def script(source: str) -> tuple[Markup, str]:
    """Return an inline script that no text in it can end, and its hash for the policy."""
    guarded = re.sub(r"<(?=/script|!--)", r"\\x3c", source, flags=re.IGNORECASE)
    digest = base64.b64encode(hashlib.sha256(guarded.encode()).digest()).decode()
    return Markup(f"<script>{guarded}</script>"), f"'sha256-{digest}'"


def header(report: Report) -> Markup:
    """Return the title and the switch between light and dark."""
    studies, workloads = len(report.studies), len(report.workloads)
    about = [counted(len(report.runs), "run"), counted(workloads, "workload")]
    about += [f"stud{'ies' if studies != 1 else 'y'} {', '.join(report.studies)}"] if studies else []
    return tag(
        "header",
        tag("a", "To the verdict", href="#main", class_="skip"),
        tag(
            "div",
            tag("p", "optbench report", class_="over"),
            tag("h1", report.title),
            tag("p", " · ".join(about), class_="facts"),
        ),
        tag("button", "Dark", type="button", id="theme", aria_label="Switch between light and dark"),
    )


def contents(listed: list[tuple[int, str, str]]) -> Markup:
    """Return the table of contents, of (level, id, title)."""
    entries = [tag("li", tag("a", title, href=f"#{key}"), class_=f"l{level}") for level, key, title in listed]
    return tag("nav", tag("p", "Contents", class_="over"), tag("ul", *entries), aria_label="Contents")


def footer(report: Report) -> Markup:
    """Return what made this page."""
    made = tag("p", f"Made with {report.made_with}: ", tag("code", report.command))
    return tag("footer", made, tag("p", "Figures by plotly.js (MIT licence)."))
