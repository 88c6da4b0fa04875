"""The sections of one workload, in the order in which they are read. One without content is left out."""

from __future__ import annotations

from collections.abc import Callable

from optbench.reports.model.content import Curve, Workload
from optbench.reports.render.html import costs, figures, tuning
from optbench.reports.render.html.gathered import Page
from optbench.reports.render.html.leaderboard import AIMS, leaderboard
from optbench.reports.render.html.numbers import number
from optbench.reports.render.html.pictures import gallery
from optbench.reports.render.html.tags import Markup, Number, capital, items, numbers, table, tag
from optbench.reports.render.html.verdicts import pairwise


def workload(page: Page, of: Workload, number_of: int) -> Markup:
    """Everything of one workload."""
    key = f"w{number_of}"
    page.contents.append((2, key, of.name))
    answer = tag(
        "div",
        *(tag("p", unnamed(sentence, of)) for sentence in of.answer),
        class_="answer small",
    )
    facts = [
        f"{of.steps:,} steps",
        f"batches of {of.batch_size:,}",
        f"{of.metric}, {AIMS.get(of.direction, of.direction)}",
    ]
    facts += [f"target {number(of.target)} on validation"] if of.target is not None else []
    many = len(page.report.workloads) > 1  # one workload's answer is the report's
    parts = [build(page, of, f"{key}-{name}", title) for name, title, build in PARTS]
    return tag(
        "section",
        tag("h2", of.name),
        tag("p", " · ".join(facts), class_="facts"),
        answer if many else None,
        *parts,
        id=key,
        class_="workload",
    )


def unnamed(sentence: str, of: Workload) -> str:
    """A sentence without the workload's name before it, as the heading says it; a contender's name stays as it is."""
    rest = sentence.removeprefix(f"{of.name}: ")
    return rest if rest.startswith(tuple(row.contender for row in of.rows)) else capital(rest)


def board(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """The leaderboard."""
    return page.part(key, title, leaderboard(of, page.names, page.report.level) if of.rows else None)


def pairs(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Verdicts between two."""
    return page.part(key, title, pairwise(of, page.names) if of.pairs else None)


def curves(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Curves of the final runs, the ends of the bands as a table."""
    drawn = page.figure(
        figures.curves(of, page.names, page.points),
        "Final runs at the full budget: the line is the mean over seeds, the band spans the least and the greatest.",
    )
    rows = [ends(page, band) for band in of.bands if band.step]
    head = ("contender", "column", "records", "first", "last", "least", "greatest")
    return page.part(key, title, drawn, numbers(table("Means over seeds", head, rows)) if rows else None)


def ends(page: Page, band: Curve) -> list[object]:
    """A band in a row of numbers."""
    finite = [value for value in band.value if value is not None]
    shown = (band.value[0], band.value[-1], min(finite, default=None), max(finite, default=None))
    return [page.names.who(band.contender), tag("code", band.column), Number(len(band.step)), *map(number, shown)]


def failures(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Runs without a result, with the reason."""
    rows = [
        [
            page.names.who(f.contender),
            f.stage,
            tag("span", f.status, class_="bad"),
            tag("span", f.reason, class_="long"),
            tag("code", f.run_id),
            tag("code", f.folder),
        ]
        for f in page.report.failures
        if f.workload == of.name
    ]
    head = ("contender", "stage", "status", "reason", "run", "folder")
    return page.part(key, title, table("Runs that ended without a result", head, rows) if rows else None)


def pictures(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """What the tasks had to show."""
    return page.part(key, title, gallery(page.album, of.pictures, page.names, page.root) if of.pictures else None)


Part = Callable[[Page, Workload, str, str], Markup | None]


PARTS: tuple[tuple[str, str, Part], ...] = (
    ("leaderboard", "Leaderboard", board),
    ("pairs", "Pairwise verdicts", pairs),
    ("curves", "Curves", curves),
    ("budget", "Against tuning budget", tuning.budget),
    ("sensitivity", "Sensitivity", tuning.sensitivity),
    ("maps", "Two hyperparameters", tuning.maps),
    ("target", "To target", tuning.to_target),
    ("ladder", "Ladder of budgets", tuning.ladder),
    ("resources", "Memory and time", costs.resources),
    ("pareto", "Trade-offs", costs.pareto),
    ("stability", "Stability", costs.stability),
    ("failures", "Failures", failures),
    ("pictures", "Samples", pictures),
)


def failures_elsewhere(page: Page) -> Markup | None:
    """Failures of workloads that have no section of their own."""
    known = {of.name for of in page.report.workloads}
    texts = [
        f"{f.workload}, {f.contender}, {f.run_id}: {f.status}, {f.reason}"
        for f in page.report.failures
        if f.workload not in known
    ]
    return items(texts) if texts else None
