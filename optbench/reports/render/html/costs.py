"""The sections of a workload about what an optimizer costs: memory, time, failures."""

from __future__ import annotations

from optbench.reports.model.content import Workload
from optbench.reports.render.html import figures
from optbench.reports.render.html.gathered import Page
from optbench.reports.render.html.numbers import decimals, estimate, fixed, number, size
from optbench.reports.render.html.palette import INTERVAL, scale, whisker
from optbench.reports.render.html.tags import Markup, Number, join, numbers, table, tag


def resources(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Memory, throughput, and where the time goes."""
    drawn = page.figure(figures.seconds(of, page.names), "Mean seconds of a final run by phase.")
    faster = f"speed against {of.reference}" if of.reference else "relative speed"
    head = ["contender", "state", "state / parameters", "parameters", "peak", "step (ms)", "samples/s", faster]
    rows = [
        [
            join(
                [page.names.who(r.contender), tag("small", "shared device", class_="bad") if r.shared_device else None],
                " ",
            ),
            size(r.state_bytes),
            number(r.state_per_parameter, 3),
            size(r.parameter_bytes),
            size(r.peak_bytes),
            *map(estimate, (r.step_ms, r.samples_per_second, r.relative_speed)),
        ]
        for r in figures.by_name(of.resources, page.names)
    ]
    return page.part(
        key, title, table("Memory and speed of the final runs", head, rows) if rows else None, drawn, phases(page, of)
    )


def phases(page: Page, of: Workload) -> Markup | None:
    """Seconds by phase, in numbers."""
    found = list(dict.fromkeys(phase for r in of.resources for phase in r.seconds))
    rows = [
        [
            page.names.who(r.contender),
            *(number(r.seconds.get(phase), 3) for phase in found),
            number(sum(r.seconds.values()), 3),
        ]
        for r in figures.by_name(of.resources, page.names)
    ]
    return numbers(table("Mean seconds of a run by phase", ["contender", *found, "all"], rows)) if found else None


def pareto(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Quality, time and memory at once."""
    caption = (
        "Filled: no other contender is at least as good in all three and better in one. The larger, the more state."
    )
    drawn = page.figure(figures.pareto(of, page.names), caption)
    places = {row.contender: decimals(figures.headline(row, of)) for row in of.rows}
    rows = [
        [
            page.names.who(p.contender),
            "yes" if p.front else "no",
            Number(fixed(p.quality, places.get(p.contender))),
            number(p.train_seconds),
            size(p.state_bytes),
        ]
        for p in figures.by_name(of.pareto, page.names)
    ]
    head = ("contender", "on the front", figures.headline_name(of), "training seconds", "optimizer state")
    return page.part(key, title, drawn, table("Quality, time and memory", head, rows) if rows else None)


def stability(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Failures and spikes."""
    ordered = figures.by_name(of.stability, page.names)
    on = scale([s.share for s in ordered])
    rows = [
        [
            page.names.who(s.contender),
            Number(f"{s.failed} of {s.runs}"),
            estimate(s.share),
            whisker(s.share, on, page.names.place(s.contender)),
            estimate(s.spikes),
        ]
        for s in ordered
    ]
    head = ("contender", "failed", "share", INTERVAL, "spikes in 1,000 records")
    return page.part(
        key, title, table("Tuning runs that failed; loss spikes of the final runs", head, rows) if rows else None
    )
