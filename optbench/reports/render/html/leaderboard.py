"""The leaderboard of a workload: ranks as ranges, dots with whiskers, groups that are not told apart."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Estimate, Row, Workload
from optbench.reports.render.html.figures import headline, headline_name
from optbench.reports.render.html.numbers import MISSING, decimals, estimate, fixed, number, short
from optbench.reports.render.html.palette import INTERVAL, Palette, scale, whisker
from optbench.reports.render.html.tags import DASH, Markup, Number, capital, join, table, tag
from optbench.reports.render.html.verdicts import groups

Column = tuple[object, list[object]]
AIMS = {"max": "higher is better", "min": "lower is better"}
ALIKE = "alike"
ENDS = ("first", "last")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def leaderboard(workload: Workload, names: Palette, level: float) -> Markup:
    """One row for each contender, best first."""
    columns = standing(workload, names) + measured(workload)
    aim = AIMS.get(workload.direction, workload.direction)
    budget = f"{workload.steps:,} steps of {workload.batch_size:,} samples"
    shown = f"mean over seeds with its {short(100 * level)} % interval; thin marks are single seeds"
    caption = f"{capital(headline_name(workload))} at the end of {budget}; {aim}; {shown}"
    alike = any(title == ALIKE for title, _ in columns)
    return join([by_column(caption, columns, class_="leaderboard"), explained(alike), choices(workload, names)])


def by_column(caption: object, columns: Sequence[Column], **attributes: str) -> Markup:
    """A table of columns; one in which nothing is known is left out."""
    kept = [(title, cells) for title, cells in columns if any(cell not in ("", MISSING) for cell in cells)]
    rows = list(zip(*(cells for _, cells in kept), strict=True))
    return table(caption, [title for title, _ in kept], rows, **attributes)


def standing(workload: Workload, names: Palette) -> list[Column]:
    """Who comes where, and by what."""
    rows = workload.rows
    of = [headline(row, workload) for row in rows]
    mark = workload.target if workload.headline.startswith("val") else None
    on = scale(of, mark, [value for row in rows for value in row.values])
    alike = groups(rows, workload.pairs)
    return [
        ("contender", [join([names.who(row.contender), tag("small", row.implementation)], " ") for row in rows]),
        ("rank", [ranks(row.rank_low, row.rank_high) for row in rows]),
        *([(ALIKE, [bars(k, alike) for k in range(len(rows))])] if alike else []),
        (headline_name(workload), [strong(e) for e in of]),
        (INTERVAL, [whisker(e, on, names.place(row.contender), row.values) for e, row in zip(of, rows, strict=True)]),
        ("seeds", [Number(e.n) for e in of]),
        ("failed", [failed(row) for row in rows]),
    ]


def measured(workload: Workload) -> list[Column]:
    """What else was measured of each contender."""
    rows = workload.rows
    by_test = not workload.headline.startswith("val")
    return [
        *([(f"validation {workload.metric}", [estimate(row.val) for row in rows])] if by_test else []),
        ("best validation", [estimate(row.best_val) for row in rows]),
        ("train", [estimate(row.train) for row in rows]),
        ("gap", [estimate(row.gap) for row in rows]),
        ("SD", [number(row.sd, 2) for row in rows]),
    ]


def choices(workload: Workload, names: Palette) -> Markup | None:
    """What tuning chose for each contender, a column for each hyperparameter, edges flagged."""
    rows = workload.rows
    keys = list(dict.fromkeys(key for row in rows for key in (*row.tuned, *dict(row.edges))))
    if not any(row.trials or row.tuned or row.edges for row in rows):
        return None
    columns: list[Column] = [
        ("contender", [names.who(row.contender) for row in rows]),
        ("trials", [Number(row.trials) for row in rows]),
        ("validation of the winner", [Number(fixed(row.tune_val, decimals(row.val))) for row in rows]),
        *((tag("code", key), [chosen(row, key) for row in rows]) for key in keys),
    ]
    caption = "What tuning chose. The winner's validation is optimistic, as it was chosen for it"
    return by_column(caption, columns)


def chosen(row: Row, key: str) -> Number:
    """A hyperparameter's value, flagged where it lies on the edge of the box."""
    value = row.tuned.get(key)
    shown = short(value) if isinstance(value, float) else MISSING if value is None else str(value)
    end = dict(row.edges).get(key)
    return Number(join([shown, tag("span", f"{end} edge", class_="badge worse") if end else None], " "))


def explained(alike: bool) -> Markup:
    """How to read the ranks."""
    text = (
        f"A rank such as 1{DASH}3 is a range: from one more than the contenders shown to be better, to one more "
        "than those not shown to be worse. "
    )
    more = "Contenders that share a bar under “alike” are not told apart. "
    last = (
        "Gap: how much worse test is than train. "
        "An edge: tuning chose the end of its box, so the contender is undertuned."
    )
    return tag("p", text, more if alike else None, last, class_="note")


def ranks(low: int, high: int) -> Markup:
    """3, or 1–3."""
    return tag("span", str(low) if low == high else f"{low}{DASH}{high}", class_="rank")


def strong(of: Estimate) -> Number:
    """The headline number."""
    return Number(tag("span", estimate(of), class_="headline"))


def failed(row: Row) -> Number:
    """How many final seeds failed, marked if any."""
    return Number(tag("span", row.failed, class_="bad")) if row.failed else Number("0")


def bars(k: int, alike: list[tuple[int, int]]) -> Markup:
    """A row's part of the groups' bars; letters name the groups for those who do not see them."""
    inside = [LETTERS[n % len(LETTERS)] for n, (first, last) in enumerate(alike) if first <= k <= last]
    side_by_side = lanes(alike)
    marks = [tag("i", class_=" ".join(["bar", *mark(k, lane)])) for lane in side_by_side]
    text = f"group {' and '.join(inside)}" if inside else "alone"
    room = tag("span", class_="room", style=f"width:{8 * len(side_by_side)}px")
    return join([room, tag("span", *marks, class_="bars", role="img", aria_label=text, title=text)])


def lanes(alike: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Groups, in the order of their first rows, side by side where they share a row, else below each other."""
    found: list[list[tuple[int, int]]] = []
    for group in alike:
        free = next((lane for lane in found if lane[-1][1] < group[0]), None)
        if free is None:
            found.append([group])
        else:
            free.append(group)
    return found


def mark(k: int, lane: list[tuple[int, int]]) -> list[str]:
    """How a row looks in a lane: within a group, at one of its ends, or outside."""
    group = next((group for group in lane if group[0] <= k <= group[1]), None)
    return [] if group is None else ["on", *(name for name, at in zip(ENDS, group, strict=True) if k == at)]
