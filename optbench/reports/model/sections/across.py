"""All workloads together: scores, ranks, performance profiles, and the order without each workload."""

from __future__ import annotations

from collections.abc import Iterator

from optbench.reports.model.content import Across, LeaveOneOut, Profile, Score
from optbench.reports.model.document import ACROSS, Chapter, FlatRow, Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import records
from optbench.reports.model.numbers import bounded_text
from optbench.reports.model.table import CONTENDER, EVERYWHERE, HTML, Table, TableColumn, Whisker, table

TAUS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
TIMED = "AlgoPerf score: of times to target, 1 is the fastest everywhere. "
NOTE = (
    "Score: mean over workloads (from eight on the interquartile mean) of the headline, where 1 is the best "
    "contender's mean and 0 the trivial answer, or worse; of metrics over decades on a log scale. A contender that is "
    "not trained scores 0. Least score: on its weakest workload. P(best): that the contender's score is the greatest. "
)
EQUIVALENT = (
    "Equivalent budget: how many times the contender's data the reference needs for its result, the geometric mean of "
    "the budgets that stand for the contender on each workload. "
)
AT_DEFAULTS = (
    "Regret at defaults: what the optimizer's own values lose against its best trial, as a share of the way from the "
    "trivial answer to the best trial of all; the mean over workloads. "
)


def across(of: Across) -> Chapter:
    """Return the chapter on all workloads together."""
    sections = (scores(of), ranks(of), profiles(of), leave_one_out(of))
    return Chapter(ACROSS, "Across workloads", sections, answer=of.answer)


def scores(of: Across) -> Section:
    """Return one row for each contender."""
    timed = any(one.score.value is not None for one in of.scores)
    known = any(one.equivalent.value is not None for one in of.scores)
    found = table(
        "Scores and mean ranks",
        of.scores,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("mean rank", "estimate"), lambda one: one.mean_rank),
        (TableColumn("score", "estimate"), lambda one: one.mean),
        (TableColumn("interval of the score", "whisker", HTML), lambda one: Whisker(one.mean)),
        (TableColumn("least score", "number", digits=2), lambda one: one.minimum),
        (TableColumn("on"), lambda one: one.weakest),
        (TableColumn("P(best)", "number", digits=2), lambda one: one.rank_first),
        (TableColumn("AlgoPerf score", "estimate"), lambda one: one.score),
        (TableColumn("speed-up", "estimate"), lambda one: one.speed_up),
        (TableColumn("equivalent budget", "cost"), equivalent),
        (TableColumn("regret at defaults", "number", digits=3), lambda one: one.at_defaults.value),
        note=f"{TIMED if timed else ''}{NOTE}{EQUIVALENT if known else ''}"
        f"{AT_DEFAULTS if any(one.at_defaults.value is not None for one in of.scores) else ''}{of.note}",
        outputs=EVERYWHERE,
    )
    drawable = any(one.mean.value is not None for one in of.scores)
    parts = present(Figure("standings", "Standings", of) if drawable else None, found)
    return Section("scores", "Scores", parts, (records("scores", of.scores),))


def equivalent(of: Score) -> str:
    """Return the reference-equivalent budget; empty without a ladder on every workload."""
    return bounded_text(of.equivalent, of.equivalent_bound) if of.equivalent.value is not None else ""


def ranks(of: Across) -> Section:
    """Return the ranges of ranks by workload."""
    names = [one.contender for one in of.scores] or list(dict.fromkeys(who for row in of.ranks.values() for who in row))
    columns = (TableColumn("workload"), *(TableColumn(name, "heat") for name in names))
    rows = tuple((workload, *(row.get(name) for name in names)) for workload, row in of.ranks.items())
    return Section("ranks", "Ranks", present(Table("Ranks on each workload, as ranges", columns, rows)))


def profiles(of: Across) -> Section:
    """Return the share of workloads solved within tau times the fastest's time."""
    series = tuple(FigureSeries(one.contender, one.tau, one.share, line="steps") for one in of.profiles)
    lines = Lines(
        series, FigureAxis("tau: time over the fastest's"), FigureAxis("share of workloads", limits=(-0.03, 1.03))
    )
    caption = "Share of workloads that a contender solves within tau times the fastest's time."
    figure = Figure("profiles", "Performance profiles", lines, caption) if series else None
    shares = table(
        "Share of workloads solved within tau",
        of.profiles,
        (CONTENDER, lambda one: one.contender),
        *((TableColumn(f"tau = {tau:g}", "number", digits=3), lambda one, tau=tau: share_at(one, tau)) for tau in TAUS),
        outputs=HTML,
        folded=True,
    )
    rows = (Records("profiles", lambda: points(of)),)
    return Section("profiles", "Performance profiles", present(figure, shares), rows)


def share_at(profile: Profile, tau: float) -> float | None:
    """Return a profile's value at tau."""
    steps = zip(reversed(profile.tau), reversed(profile.share), strict=True)
    return next((share for x, share in steps if x <= tau + 1e-9), None)


def points(of: Across) -> Iterator[FlatRow]:
    """Yield every point of the profiles."""
    for profile in of.profiles:
        for tau, share in zip(profile.tau, profile.share, strict=True):
            yield {"contender": profile.contender, "tau": tau, "share": share}


def leave_one_out(of: Across) -> Section:
    """Return the order of the contenders without each workload."""
    longest = max((len(one.order) for one in of.leave_one_out), default=0)
    columns = (TableColumn("without"), *(TableColumn(f"{n}.", "text") for n in range(1, longest + 1)))
    rows = tuple((one.without, *with_ties(one), *[""] * (longest - len(one.order))) for one in of.leave_one_out)
    note = f"=: the same {of.left_out_by} as the contender before."
    orders = Table(f"Order by {of.left_out_by} without one workload", columns, rows, note=note)
    found = (Records("leave_one_out", lambda: places(of)),)
    return Section("without", "Leave one workload out", present(orders), found)


def with_ties(row: LeaveOneOut) -> list[str]:
    """Return the names in their order, marked where one shares the place of the one before."""
    before = (None, *row.values[:-1])
    return [
        f"= {name}" if value == last else name for name, value, last in zip(row.order, row.values, before, strict=True)
    ]


def places(of: Across) -> Iterator[FlatRow]:
    """Yield every place in every order."""
    for row in of.leave_one_out:
        for place, (name, value) in enumerate(zip(row.order, row.values, strict=True), 1):
            yield {"without": row.without, "place": place, "contender": name, "value": value}
