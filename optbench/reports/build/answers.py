"""The answer in words: which optimizer to use, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Pair, Row
from optbench.reports.statistics.verdicts import BETTER, TIE, WORSE

FEW_SEEDS = 5


def answer(workload: str, metric: str, rows: Sequence[Row], pairs: Sequence[Pair], level: float) -> tuple[str, ...]:
    """Return the first lines for one workload; rows best first."""
    known = [row for row in rows if row.test.value is not None or row.val.value is not None]
    if not known:
        tried = sum(row.trials for row in rows)
        failed = sum(row.failed for row in rows)
        if tried and not failed:
            return (f"{workload}: no final seed has ended yet; {tried} trials have started.",)
        return (f"{workload}: no run has a result.",)
    if len(rows) == 1:
        return (f"{workload}: only {rows[0].contender} was run; there is nothing to compare it with.",)
    best = rows[0].contender
    against = {row.contender: verdict_of(best, row.contender, pairs) for row in rows[1:]}
    beaten = [name for name, word in against.items() if word == BETTER]
    equal = [name for name, word in against.items() if word == TIE]
    unknown = [name for name in against if name not in beaten and name not in equal]
    if len(beaten) == len(against):
        return (f"{workload}: use {best}. It is better than {listed(beaten)} in {metric} ({error_rate(level)}).",)
    lines = []
    if equal:
        lines.append(f"{workload}: use {listed([best, *equal], 'or')}: they are equal within the margin.")
    if unknown:
        start = f"{best}'s lead" if equal else f"{best} has the best mean; its lead"
        seeds = would_decide(best, unknown, pairs)
        lines.append(f"{workload}: {start} over {listed(unknown)} is not significant{seeds}.")
    if beaten:
        lines.append(f"{workload}: {best} is better than {listed(beaten)} ({error_rate(level)}).")
    return tuple(lines)


def would_decide(best: str, others: Sequence[str], pairs: Sequence[Pair]) -> str:
    """Return how many more seeds would decide all of these pairs, in brackets; empty if no number would."""
    needed = [pair.more_seeds for pair in pairs for other in others if {pair.a, pair.b} == {best, other}]
    known = [seeds for seeds in needed if seeds is not None]
    if not known or len(known) < len(needed):
        return ""
    return f" ({max(known)} more seed{'s' if max(known) > 1 else ''} each would decide)"


def error_rate(level: float) -> str:
    """Return the error rate of the verdicts in words."""
    return f"false alarms in at most {1 - level:.0%} of studies"


def verdict_of(a: str, b: str, pairs: Sequence[Pair]) -> str:
    """Return the verdict of a against b, in either order of the pair."""
    turned = {BETTER: WORSE, WORSE: BETTER}
    for pair in pairs:
        if (pair.a, pair.b) == (a, b):
            return pair.verdict
        if (pair.a, pair.b) == (b, a):
            return turned.get(pair.verdict, pair.verdict)
    raise KeyError((a, b))


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return names as `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def warnings(rows: Sequence[Row], trials_differ: bool) -> tuple[str, ...]:
    """Return what weakens the answer, a sentence each."""
    found = []
    few = [row.contender for row in rows if row.test.n + row.failed < FEW_SEEDS]
    if few:
        found.append(f"Fewer than {FEW_SEEDS} final seeds of {listed(few)}: only large differences can be seen.")
    for row in rows:
        if row.failed:
            found.append(f"{row.failed} of {row.failed + len(row.values)} final seeds of {row.contender} failed.")
        if row.edges:
            ends = ", ".join(f"{key} ({end})" for key, end in row.edges)
            found.append(f"{row.contender} is undertuned: its best value is on the edge of its box: {ends}.")
        if not row.trials:
            found.append(f"{row.contender} was not tuned here.")
    if trials_differ:
        found.append("The contenders were tuned with different numbers of trials.")
    return tuple(found)
