"""The answer in words: which optimizer to use, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Pair, Row
from optbench.reports.statistics.verdicts import BETTER, TIE, WORSE

FEW_SEEDS = 5


def answer(workload: str, metric: str, rows: Sequence[Row], pairs: Sequence[Pair], level: float) -> tuple[str, ...]:
    """The first lines for one workload; rows best first."""
    known = [row for row in rows if row.test.value is not None or row.val.value is not None]
    if not known:
        tried = sum(row.trials for row in rows)
        failed = sum(row.failed for row in rows)
        if tried and not failed:
            return (f"{workload}: no final seed has ended yet; {tried} trials were begun.",)
        return (f"{workload}: no run has a result.",)
    if len(rows) == 1:
        return (f"{workload}: {rows[0].contender} alone was run, so there is nothing to compare it with.",)
    best = rows[0].contender
    against = {row.contender: verdict_of(best, row.contender, pairs) for row in rows[1:]}
    beaten = [name for name, word in against.items() if word == BETTER]
    equal = [name for name, word in against.items() if word == TIE]
    unknown = [name for name in against if name not in beaten and name not in equal]
    if len(beaten) == len(against):
        return (f"{workload}: use {best}. It is better than {listed(beaten)} in {metric} ({sure(level)}).",)
    lines = []
    if equal:
        lines.append(f"{workload}: use {listed([best, *equal], 'or')}: they are shown to be equal within the margin.")
    if unknown:
        start = f"{workload}: {best} has the best mean" if not equal else f"{workload}: {best}"
        lines.append(f"{start}, but is not told apart from {listed(unknown)}: more evidence is needed.")
    if beaten:
        lines.append(f"{workload}: {best} is better than {listed(beaten)} ({sure(level)}).")
    return tuple(lines)


def sure(level: float) -> str:
    """How sure, in words that say of what."""
    return f"false alarms in at most {1 - level:.0%} of studies"


def verdict_of(a: str, b: str, pairs: Sequence[Pair]) -> str:
    """The verdict of a against b, whichever way round it was asked."""
    turned = {BETTER: WORSE, WORSE: BETTER}
    for pair in pairs:
        if (pair.a, pair.b) == (a, b):
            return pair.verdict
        if (pair.a, pair.b) == (b, a):
            return turned.get(pair.verdict, pair.verdict)
    raise KeyError((a, b))


def listed(names: Sequence[str], word: str = "and") -> str:
    """a, b and c"""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def warnings(rows: Sequence[Row], trials_differ: bool) -> tuple[str, ...]:
    """What weakens the answer, a sentence each."""
    found = []
    few = [row.contender for row in rows if row.test.n + row.failed < FEW_SEEDS]
    if few:
        found.append(f"Fewer than {FEW_SEEDS} final seeds of {listed(few)}: only large differences can be seen.")
    for row in rows:
        if row.failed:
            found.append(f"{row.failed} of {row.failed + len(row.values)} final seeds of {row.contender} failed.")
        if row.edges:
            ends = ", ".join(f"{key} ({end})" for key, end in row.edges)
            found.append(f"{row.contender} is undertuned: its best value lies on the edge of its box: {ends}.")
        if not row.trials:
            found.append(f"{row.contender} was not tuned here.")
    if trials_differ:
        found.append("The contenders were tuned with different numbers of trials.")
    return tuple(found)
