"""All workloads together."""

from __future__ import annotations

from optbench.reports.model.content import Across
from optbench.reports.render.html import figures
from optbench.reports.render.html.gathered import Page
from optbench.reports.render.html.leaderboard import ranks
from optbench.reports.render.html.numbers import MISSING, estimate, number
from optbench.reports.render.html.palette import INTERVAL, scale, whisker
from optbench.reports.render.html.tags import Markup, Number, join, numbers, table, tag


def across(page: Page, of: Across) -> Markup:
    """Scores, profiles, ranks, and what is left of the order without each workload."""
    page.contents.append((2, "across", "Across workloads"))
    answer = tag("div", *(tag("p", sentence) for sentence in of.answer), class_="answer small")
    drawn = page.figure(
        figures.profiles(of, page.names),
        "Share of workloads that a contender solves within tau times the fastest's time.",
    )
    return tag(
        "section",
        tag("h2", "Across workloads"),
        answer if of.answer else None,
        tag("p", of.note, class_="note") if of.note else None,
        page.part("across-scores", "Scores", scores(page, of) if of.scores else None),
        page.part("across-ranks", "Ranks", heat(page, of) if of.ranks else None),
        page.part("across-profiles", "Performance profiles", drawn, profile_numbers(page, of) if drawn else None),
        page.part("across-without", "Without one workload", without(page, of) if of.leave_one_out else None),
        id="across",
    )


def scores(page: Page, of: Across) -> Markup:
    """One row for each contender."""
    on = scale([s.score for s in of.scores]) or scale([s.mean_rank for s in of.scores])
    timed = any(s.score.value is not None for s in of.scores)
    head = ["contender", "score" if timed else None, "mean rank", INTERVAL]
    rows = [
        [
            page.names.who(s.contender),
            *([estimate(s.score)] if timed else []),
            estimate(s.mean_rank),
            whisker(s.score if timed else s.mean_rank, on, page.names.place(s.contender)),
            estimate(s.iqm),
            estimate(s.speed_up),
            number(s.rank_first, 2),
        ]
        for s in of.scores
    ]
    head = [*(title for title in head if title), "IQM of the normalised headline", "speed-up", "comes first"]
    what = "Score: 1 is the fastest everywhere" if timed else "No times to target, so no scores"
    return table(f"{what}. The whiskers are the {'score' if timed else 'mean rank'}'s", head, rows)


def heat(page: Page, of: Across) -> Markup:
    """Rank ranges by workload and contender: the deeper the colour, the better the rank."""
    order = [s.contender for s in of.scores] or list(page.names.names)
    worst = max((high for row in of.ranks.values() for _, high in row.values()), default=1)
    head = ["workload", *(page.names.who(name) for name in order)]
    rows = [[name, *(heat_cell(row.get(who), worst) for who in order)] for name, row in of.ranks.items()]
    return table("Ranks on each workload, as ranges", head, rows, class_="matrix")


def heat_cell(rank: tuple[int, int] | None, worst: int) -> Markup:
    """A range of ranks, coloured by its middle in five depths."""
    if rank is None:
        return Markup(MISSING)
    middle = (rank[0] + rank[1]) / 2
    depth = 4 - round(4 * (middle - 1) / (worst - 1)) if worst > 1 else 4
    return tag("span", ranks(*rank), class_=f"heat h{depth}")


def profile_numbers(page: Page, of: Across) -> Markup:
    """The profiles at a few values of tau."""
    taus = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)

    def at(tau: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float | None:
        return next((y for x, y in zip(reversed(xs), reversed(ys), strict=True) if x <= tau + 1e-9), None)

    rows = [
        [page.names.who(p.contender), *(number(at(tau, p.tau, p.share), 3) for tau in taus)]
        for p in figures.by_name(of.profiles, page.names)
    ]
    return numbers(table("Share of workloads solved within tau", ["contender", *map(str, taus)], rows))


def without(page: Page, of: Across) -> Markup:
    """The order of contenders when one workload is left out."""
    longest = max(len(one.order) for one in of.leave_one_out)
    head = ["left out", *(Number(f"{n}.") for n in range(1, longest + 1))]
    rows = [
        [
            one.without,
            *(
                join([page.names.who(name), tag("small", number(value, 3))], " ")
                for name, value in zip(one.order, one.values, strict=True)
            ),
            *[""] * (longest - len(one.order)),
        ]
        for one in of.leave_one_out
    ]
    return table("The order of the contenders without one workload, with their score or mean rank", head, rows)
