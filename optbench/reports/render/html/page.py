"""The whole page: everything inlined, and a policy that lets it load nothing and run no script but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

from optbench.reports.model.content import Report
from optbench.reports.render.html import runs, verdicts
from optbench.reports.render.html.across import across
from optbench.reports.render.html.figures import points_for
from optbench.reports.render.html.gathered import Page
from optbench.reports.render.html.packing import packed
from optbench.reports.render.html.palette import palette
from optbench.reports.render.html.pictures import Album
from optbench.reports.render.html.sections import failures_elsewhere, workload
from optbench.reports.render.html.tags import DASH, Markup, items, join, table, tag

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


def asset(name: str) -> str:
    """A file that comes with this package."""
    return (files("optbench.reports.render.html") / name).read_text(encoding="utf-8")


def own_script() -> str:
    """The page's own files of JavaScript as one, its names kept to itself."""
    return "\n".join(
        ['(function () {\n"use strict";', *map(asset, ("page.js", "figures.js", "runs.js")), "start();\n})();"]
    )


def script(source: str) -> tuple[Markup, str]:
    """An inline script that no text in it can end, and its hash for the policy."""
    guarded = re.sub(r"<(?=/script|!--)", r"\\x3c", source, flags=re.IGNORECASE)
    digest = base64.b64encode(hashlib.sha256(guarded.encode()).digest()).decode()
    return Markup(f"<script>{guarded}</script>"), f"'sha256-{digest}'"


def document(report: Report, root: Path, refresh: int | None = None) -> str:
    """The page as text."""
    page = Page(report, palette(report), root, Album(), points_for(report.workloads))
    page.contents.append((2, "verdict", "Verdict"))
    body = [verdicts.top(report), *(workload(page, of, n) for n, of in enumerate(report.workloads, 1))]
    body += [across(page, report.across) if report.across else None, *closing(page)]
    data = {"names": page.names.names, "figures": page.figures, "runs": runs.data(report, page.names)}
    scripts = [script(asset("vendor/plotly-basic.min.js")), script(own_script())]
    policy = POLICY.format(" ".join(digest for _, digest in scripts))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="refresh", content=str(refresh)) if refresh else None,
        tag("title", f"{report.title} {DASH} optbench"),
        tag("style", Markup(asset("page.css"))),
    )
    island = tag("script", packed(data), type="application/octet-stream", id="data")
    main = tag("main", *body, id="main")
    whole = tag("body", header(report), contents(page), main, footer(report), island, *(text for text, _ in scripts))
    return f"<!DOCTYPE html>\n{tag('html', head, whole, lang='en')}\n"


def header(report: Report) -> Markup:
    """The title and the switch between light and dark."""
    studies = ", ".join(report.studies)
    about = [
        f"{len(report.runs):,} runs",
        f"{len(report.workloads)} workload{'s' if len(report.workloads) != 1 else ''}",
    ]
    about += [f"stud{'ies' if len(report.studies) != 1 else 'y'} {studies}"] if studies else []
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


def contents(page: Page) -> Markup:
    """The table of contents."""
    entries = [tag("li", tag("a", title, href=f"#{key}"), class_=f"l{level}") for level, key, title in page.contents]
    return tag("nav", tag("p", "Contents", class_="over"), tag("ul", *entries), aria_label="Contents")


def closing(page: Page) -> list[Markup | None]:
    """What follows the results: runs, what was assumed, mixed and skipped, the claim."""
    report = page.report
    skipped = [[tag("code", path), tag("span", why, class_="long")] for path, why in report.skipped]
    return [
        chapter(page, "other-failures", "Other failures", failures_elsewhere(page)),
        chapter(page, "runs", "Runs", runs.listing(report) if report.runs else None),
        chapter(page, "assumed", "What was assumed", items(report.assumptions) if report.assumptions else None),
        chapter(page, "mixed", "What was mixed", items(report.mixed) if report.mixed else None),
        chapter(page, "skipped", "Skipped", table("Left out", ("path", "why"), skipped) if skipped else None),
        chapter(page, "claim", "Claim", verdicts.claim(report.claim) if report.claim else None),
    ]


def chapter(page: Page, key: str, title: str, content: Markup | None) -> Markup | None:
    """A section of the first level, or nothing where it would be empty."""
    if not content:
        return None
    page.contents.append((2, key, title))
    return tag("section", tag("h2", title), content, id=key)


def footer(report: Report) -> Markup:
    """What made this page."""
    plotly = "Figures by plotly.js (MIT licence)."
    return tag(
        "footer", tag("p", join([f"Made with {report.made_with}: ", tag("code", report.command)])), tag("p", plotly)
    )
