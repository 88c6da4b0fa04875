"""Pairwise verdicts: a matrix, each in a sentence with its evidence, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Pair, Workload
from optbench.reports.model.document import Section, present
from optbench.reports.model.flat import records
from optbench.reports.model.numbers import MINUS
from optbench.reports.model.rows import REVERSED
from optbench.reports.model.table import CONTENDER, DOCUMENTS, EVERYWHERE, HTML, Table, TableColumn, table

OPEN_PAIRS = 6  # more are shown on a click
WORDS_UP_TO = 7  # contenders; verdicts of more are signs alone


def verdicts(workload: Workload) -> Section:
    """Return the verdicts of every pair of contenders."""
    pairs = workload.pairs
    names = [row.contender for row in workload.rows]
    parts = present(matrix(pairs, names) if len(names) > 2 else None, sentences(pairs), numbers(workload))
    return Section("verdicts", "Pairwise verdicts", parts, (records("verdicts", pairs),))


def matrix(pairs: Sequence[Pair], names: Sequence[str]) -> Table:
    """Return the verdict of each row's contender against each column's."""
    known = {(pair.a, pair.b): pair.verdict for pair in pairs}
    known |= {(pair.b, pair.a): REVERSED.get(pair.verdict, pair.verdict) for pair in pairs}
    kind = "verdict" if len(names) <= WORDS_UP_TO else "sign"
    columns = (CONTENDER, *(TableColumn(name, kind) for name in names))
    rows = tuple((a, *(known.get((a, b), "") for b in names)) for a in names)
    title = "Verdict of the row's contender against the column's"
    return Table(title, columns, rows if pairs else (), outputs=HTML)


def sentences(pairs: Sequence[Pair]) -> Table:
    """Return each verdict in words; on a terminal a line each."""
    many = len(pairs) > OPEN_PAIRS
    return table(
        f"All {len(pairs)} verdicts with their evidence" if many else "Verdicts with their evidence",
        pairs,
        (TableColumn("verdict", "verdict", DOCUMENTS), lambda pair: pair.verdict),
        (TableColumn("in words"), sentence),
        (TableColumn("evidence", "long", DOCUMENTS), lambda pair: "; ".join(pair.evidence)),
        outputs=EVERYWHERE,
        folded=many,
    )


def sentence(pair: Pair) -> str:
    """Return a verdict in words, with the seeds that would decide it."""
    return f"{pair.sentence} ({pair.more_seeds} more seeds for each would decide)" if pair.more_seeds else pair.sentence


def numbers(workload: Workload) -> Table:
    """Return the numbers behind the verdicts."""
    return table(
        f"Differences of {workload.headline_name}",
        workload.pairs,
        (TableColumn("first", "contender"), lambda pair: pair.a),
        (TableColumn("second", "contender"), lambda pair: pair.b),
        (TableColumn(f"difference (first {MINUS} second)", "estimate"), lambda pair: pair.difference),
        (TableColumn("margin", "number"), lambda pair: pair.margin),
        (TableColumn("p (Holm)", "p"), lambda pair: pair.adjusted_p),
        (TableColumn("p", "p", HTML), lambda pair: pair.p),
        (TableColumn("p beyond margin", "p", HTML), lambda pair: pair.tie_p),
        (TableColumn("Hedges' g", "number", HTML, digits=3), lambda pair: pair.effect),
        (TableColumn("P(a run of the first is better)", "estimate"), lambda pair: pair.improvement),
        note="Margin: smaller differences do not matter. p (Holm): of no difference, corrected over all pairs. "
        "p beyond margin: of a difference larger than the margin. Hedges' g: positive where the first is better.",
        folded=True,
    )
