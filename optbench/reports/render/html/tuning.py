"""The sections of a workload about budgets: of tuning, of steps, to a target."""

from __future__ import annotations

from optbench.reports.model.content import ToTarget, Workload
from optbench.reports.render.figures.heat import CLIPPED
from optbench.reports.render.html import figures
from optbench.reports.render.html.gathered import Page
from optbench.reports.render.html.numbers import MISSING, estimate, number
from optbench.reports.render.html.palette import INTERVAL, scale, whisker
from optbench.reports.render.html.tags import TIMES, Markup, Number, capital, numbers, table, tag


def budget(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Performance against tuning budget."""
    caption = "The best validation metric to expect after so many of a contender's trials, tried in random order."
    drawn = page.figure(figures.budget_curves(of, page.names), caption)
    rows = [
        [page.names.who(c.contender), Number(n), number(expected), number(low), number(high)]
        for c in figures.by_name(of.budget_curves, page.names)
        for n, expected, low, high in zip(c.trials, c.expected, c.low, c.high, strict=True)
    ]
    head = ("contender", "trials", "expected best", "low", "high")
    return page.part(key, title, drawn, numbers(table(caption, head, rows)) if rows else None)


def sensitivity(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """How much the learning rate matters."""
    keys = sorted({s.key for s in of.sensitivity})
    caption = (
        "Each trial by its {}, other values as tuning had them. A cross is a trial that failed, a ring the one chosen."
    )
    drawn = [page.figure(figures.sensitivity(of, page.names, key), caption.format(key)) for key in keys]
    ordered = figures.by_name(of.sensitivity, page.names)
    on = scale([s.number for s in ordered])
    rows = [
        [
            page.names.who(s.contender),
            tag("code", s.key),
            estimate(s.number),
            whisker(s.number, on, page.names.place(s.contender)),
            Number(len(s.x)),
            Number(sum(value is None for value in s.value)),
            number(s.chosen),
        ]
        for s in ordered
    ]
    head = ("contender", "of", "sensitivity", INTERVAL, "trials", "failed", "chosen")
    what = "Sensitivity: mean loss of metric over the searched range, on a log scale, against the best; 0 would be best"
    return page.part(key, title, *drawn, table(what, head, rows) if rows else None)


def maps(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """The metric over two hyperparameters, where two were searched."""
    found = [s for s in figures.by_name(of.sensitivity, page.names) if s.y]
    known = sorted(value for s in found for value in s.value if value is not None)
    if not known:
        return None
    tenth = round(CLIPPED * (len(known) - 1))
    ends = (known[tenth], known[-1]) if of.direction == "max" else (known[-1 - tenth], known[0])
    caption = "{}: each trial by {} and {}; the worst tenth has one colour, a cross failed, a ring was chosen."
    drawn = [page.figure(figures.points(of, s, ends), caption.format(s.contender, s.key, s.second)) for s in found]
    return page.part(key, title, *drawn)


TARGETS = {
    "complete": "Smallest budget of the ladder whose complete schedules reach the target",
    "passing": "First evaluation at or beyond the target inside a run of the full budget: depends on the schedule",
}


def to_target(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """Steps, samples, seconds and FLOPs to the target."""
    kinds = list(dict.fromkeys(t.kind for t in of.to_target))
    return page.part(key, title, *(targets(page, [t for t in of.to_target if t.kind == kind], kind) for kind in kinds))


def targets(page: Page, of: list[ToTarget], kind: str) -> Markup:
    """One kind as a table."""
    on = scale([t.steps for t in of])
    budgets = any(t.budget is not None for t in of)
    head = ["contender", "reached", *(["budget"] if budgets else []), "steps", INTERVAL]
    head += ["samples", "training seconds", "wall seconds", "FLOPs"]
    rows = [
        [
            page.names.who(t.contender),
            Number(f"{t.reached} of {t.of}"),
            *([number(t.budget)] if budgets else []),
            estimate(t.steps),
            whisker(t.steps, on, page.names.place(t.contender)),
            *map(estimate, (t.samples, t.train_seconds, t.wall_seconds, t.flops)),
        ]
        for t in of
    ]
    return table(f"{TARGETS.get(kind, kind)}. Medians over seeds; {MISSING}: not reached by enough of them", head, rows)


def ladder(page: Page, of: Workload, key: str, title: str) -> Markup | None:
    """The headline at each budget."""
    drawn = page.figure(
        figures.ladder(of, page.names), "The headline at the end of complete schedules of several lengths."
    )
    steps = sorted({(s.budget, s.steps) for s in of.ladder})
    at = {(s.contender, s.budget): figures.headline(s, of) for s in of.ladder}
    found = [name for name in page.names.names if any(s.contender == name for s in of.ladder)]
    rows = [
        [page.names.who(name), *(estimate(at[name, b]) if (name, b) in at else Number(MISSING) for b, _ in steps)]
        for name in found
    ]
    head = ["contender", *(f"{count:,} steps ({TIMES} {number(share)})" for share, count in steps)]
    caption = f"{capital(figures.headline_name(of))} by budget"
    return page.part(key, title, drawn, table(caption, head, rows) if len(steps) > 1 else None)
