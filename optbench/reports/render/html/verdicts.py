"""The verdict in words, and the verdicts between two with their evidence."""

from __future__ import annotations

from optbench.reports.model.content import Claim, Pair, Report, Row, Workload
from optbench.reports.render.html.numbers import MISSING, estimate, number, probability
from optbench.reports.render.html.palette import Palette
from optbench.reports.render.html.tags import MINUS, Markup, Number, folded, items, join, table, tag

SIGNS = {"better": "▲", "worse": "▼", "tie": "=", "undecided": "?"}
TURNED = {"better": "worse", "worse": "better"}
OPEN_WARNINGS = 8  # of all workloads
OPEN_PAIRS = 6  # shown without a click
MANY_PAIRS = 45  # from here on in one table
WHOLE_WORDS = 7  # contenders of a matrix that says its verdicts in words


def top(report: Report) -> Markup:
    """The first thing read: what to use, then what weakens it."""
    answer = [tag("p", sentence) for sentence in report.answer]
    return tag(
        "section",
        tag("h2", "Verdict"),
        tag("div", *answer, class_="answer"),
        tag("div", tag("h3", "What weakens it"), items(found), class_="warnings")
        if (found := warnings(report))
        else None,
        id="verdict",
    )


def warnings(report: Report) -> list[Markup | str]:
    """What weakens the answer, of all workloads, and what is not complete."""
    found: list[Markup | str] = []
    if report.open_runs:
        open_runs = f"{report.open_runs} runs have" if report.open_runs > 1 else "1 run has"
        found.append(f"{open_runs} not ended: the study goes on.")
    many = sum(len(workload.warnings) for workload in report.workloads) > OPEN_WARNINGS
    for workload in report.workloads:
        found += of_workload(workload, alone=len(report.workloads) == 1, fold=many)
    if report.mixed:
        found.append(
            join(["Results were mixed that should not be: ", tag("a", "see what was mixed", href="#mixed"), "."])
        )
    if report.skipped:
        found.append(join([f"{len(report.skipped)} files or folders were ", tag("a", "skipped", href="#skipped"), "."]))
    return found


def of_workload(workload: Workload, *, alone: bool, fold: bool) -> list[Markup | str]:
    """What weakens the answer for one workload, by its name unless it is alone; where there is much, on a click."""
    texts = list(workload.warnings)
    if alone or not texts:
        return list(texts)
    if fold and len(texts) > 1:
        return [folded(join([tag("b", workload.name), f": {len(texts)} warnings"]), items(texts))]
    return [join([tag("b", f"{workload.name}: "), text]) for text in texts]


def badge(verdict: str) -> Markup:
    """A verdict as a sign and a word."""
    kind = verdict if verdict in SIGNS else "undecided"
    return tag("span", f"{SIGNS[kind]} {verdict}", class_=f"badge {kind}")


def pairwise(workload: Workload, names: Palette) -> Markup:
    """The matrix of verdicts, then each pair's sentence with its evidence behind a click."""
    order = [row.contender for row in workload.rows]
    pairs = workload.pairs
    title = f"All {len(pairs)} verdicts with their evidence"
    if len(pairs) <= MANY_PAIRS:
        shown = [one_pair(pair, names, workload.metric) for pair in pairs]
        every = shown if len(pairs) <= OPEN_PAIRS else [folded(title, *shown)]
    else:
        every = [folded(title, in_rows(pairs, names))]
    return join([matrix(pairs, order, names) if len(order) > 2 else None, tag("div", *every, class_="pairs")])


def in_rows(pairs: tuple[Pair, ...], names: Palette) -> Markup:
    """Many pairs in one table, which takes less room."""
    head = ("first", "second", "verdict", "evidence", "difference", "margin", "p (Holm)", "p", "p beyond margin")
    rows = [
        [
            names.who(pair.a),
            names.who(pair.b),
            badge(pair.verdict),
            tag("span", " ".join([pair.sentence, *pair.evidence]), class_="long"),
            estimate(pair.difference),
            number(pair.margin),
            *map(probability, (pair.adjusted_p, pair.p, pair.tie_p)),
            number(pair.effect, 3),
            estimate(pair.improvement),
            Number(MISSING if pair.more_seeds is None else pair.more_seeds),
        ]
        for pair in pairs
    ]
    return table("The first against the second", (*head, "Hedges' g", "P(first is better)", "more seeds each"), rows)


def matrix(pairs: tuple[Pair, ...], order: list[str], names: Palette) -> Markup:
    """Which contender of a row is better or worse than that of a column."""
    known = verdict_of(pairs)
    whole = len(order) <= WHOLE_WORDS
    rows = [[names.who(a), *(cell(known.get((a, b)), whole) if a != b else "" for b in order)] for a in order]
    caption = "Verdict of the row's contender against the column's"
    return table(caption, ["", *(names.who(b) for b in order)], rows, class_="matrix")


def verdict_of(pairs: tuple[Pair, ...]) -> dict[tuple[str, str], str]:
    """{(a, b): verdict of a}, both ways round."""
    known = {(pair.a, pair.b): pair.verdict for pair in pairs}
    return known | {(b, a): TURNED.get(verdict, verdict) for (a, b), verdict in known.items()}


def cell(verdict: str | None, whole: bool) -> Markup | str:
    """A cell of the matrix: the verdict, or its sign alone where there are many."""
    if verdict is None:
        return MISSING
    kind = verdict if verdict in SIGNS else "undecided"
    short = tag("span", SIGNS[kind], class_=f"badge {kind}", title=verdict, role="img", aria_label=verdict)
    return badge(verdict) if whole else short


def one_pair(pair: Pair, names: Palette, metric: str) -> Markup:
    """A pair's sentence; numbers and evidence on a click."""
    rows = [
        (f"difference of means ({metric}, {pair.a} {MINUS} {pair.b})", estimate(pair.difference)),
        ("margin of equivalence", number(pair.margin)),
        ("p of no difference, Holm's correction", probability(pair.adjusted_p)),
        ("p, uncorrected", probability(pair.p)),
        ("p of a difference beyond the margin", probability(pair.tie_p)),
        ("effect size (Hedges' g, positive: the first is better)", number(pair.effect, 3)),
        (f"probability that a run of {pair.a} is better", estimate(pair.improvement)),
        ("more seeds each that would decide", Number(MISSING if pair.more_seeds is None else pair.more_seeds)),
    ]
    head = join([badge(pair.verdict), " ", tag("span", pair.sentence, class_="sentence")])
    caption = join([names.who(pair.a), " against ", names.who(pair.b)])
    return folded(
        head, items(pair.evidence) if pair.evidence else None, table(caption, ("", "value"), rows), class_="pair"
    )


def groups(rows: tuple[Row, ...], pairs: tuple[Pair, ...]) -> list[tuple[int, int]]:
    """Stretches of the leaderboard, (first, last), in which no contender is shown to be better than another; each as
    long as it can be, none within another, none of one."""
    known = verdict_of(pairs)
    names = [row.contender for row in rows]

    def alike(i: int, j: int) -> bool:
        return known.get((names[i], names[j])) not in ("better", "worse", None)

    found: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and all(alike(i, last + 1) for i in range(first, last + 1)):
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def claim(of: Claim) -> Markup:
    """What the study was to decide, and whether it did."""
    word = {True: "holds", False: "does not hold", None: "undecided"}[of.holds]
    kind = {True: "better", False: "worse", None: "undecided"}[of.holds]
    stated = tag("p", tag("code", of.text), " ", tag("span", word, class_=f"badge {kind}"))
    listed = [tag("ul", *(tag("li", line) for line in of.lines))] if len(of.lines) > 1 else []
    return join([stated, tag("p", of.sentence), *listed])
