"""The answer in words: which optimizer to use, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Pair, Row, Workload
from optbench.reports.statistics.verdicts import BETTER, TIE, UNDECIDED, WORSE

FEW_SEEDS = 5


def answer(of: Workload, level: float) -> tuple[str, ...]:
    """Return the first lines for one workload."""
    lines = [*not_trained(of), *recommendation(of, level), *by_loss(of), *unfinished(of)]
    return tuple(f"{of.name}: {line}" for line in lines)


def not_trained(of: Workload) -> list[str]:
    """Return who is not shown to beat the trivial answer, among those with results."""
    known = [row for row in of.rows if row.values]
    names = [row.contender for row in known if row.trained is False]
    if not names or of.trivial is None:
        return []
    trivial = f"the trivial answer ({of.metric} {of.trivial:.4g})"
    if len(names) == len(known):
        return [f"nobody learned: no contender is shown to beat {trivial}."]
    return [f"{listed(names)} {'is' if len(names) == 1 else 'are'} not trained: not shown to beat {trivial}."]


def recommendation(of: Workload, level: float) -> list[str]:
    """Return whom to use, whom it beats, ties or does not beat significantly; nothing where nobody learned."""
    ready = [row for row in of.rows if row.values and row.trained is not False]
    if not ready:
        return nothing_yet(of.rows)
    if len(of.rows) == 1:
        return [f"only {marked(ready[0])} was run; there is nothing to compare it with."]
    best = next((row for row in ready if not any(beats(other, row, of.pairs) for other in ready)), ready[0])
    if len(best.values) < 2:
        return [f"no verdict: {listed([row.contender for row in ready])} {have(ready)} one result{each(ready)}."]
    others = [row for row in of.rows if row is not best]
    verdict = {row.contender: verdict_of(best.contender, row.contender, of.pairs) for row in others}
    beaten = [row for row in others if verdict[row.contender] == BETTER]
    equal = [row for row in others if verdict[row.contender] == TIE]
    single = [row for row in ready if row not in beaten and len(row.values) < 2]
    unknown = [row for row in ready if row is not best and row not in (*beaten, *equal, *single)]
    lines = [*first_words(of, best, beaten, equal, settled=not (single or unknown), level=level)]
    lines += undecided_words(of, best, unknown, start=f"{best.contender}'s lead" if equal else "")
    if beaten and (equal or unknown or single):
        lines.append(
            f"{marked(best)} beats {listed([row.contender for row in beaten])} in {of.metric} ({error_rate(level)})."
        )
    lines += wins_of([row for row in ready if row in (*equal, *unknown)], of)
    if single:
        lines.append(f"{listed([row.contender for row in single])} {have(single)} one result: no verdict yet.")
    return lines


def wins_of(rows: Sequence[Row], of: Workload) -> list[str]:
    """Return whom the contenders beat that the best one does not beat, in a sentence."""
    beaten = {row.contender: [other.contender for other in of.rows if beats(row, other, of.pairs)] for row in rows}
    found = [f"{name} beats {listed(names)}" for name, names in beaten.items() if names]
    return [f"{'; '.join(found)}."] if found else []


def nothing_yet(rows: Sequence[Row]) -> list[str]:
    """Return what is known before any contender is ready to be recommended; nothing if somebody is not trained."""
    if any(row.values for row in rows):
        return []
    tried = sum(row.trials for row in rows)
    if tried and not any(row.failed for row in rows):
        return [f"no final seed has ended yet; {tried} trials have started."]
    return ["no run has a result."]


def first_words(
    of: Workload, best: Row, beaten: Sequence[Row], equal: Sequence[Row], *, settled: bool, level: float
) -> list[str]:
    """Return the recommendation, if nothing stands against it."""
    if equal:
        return [f"use {listed([marked(row) for row in (best, *equal)], 'or')}: they are equal within the margin."]
    if not settled:
        return []
    if beaten:
        start = f"so far {marked(best)}" if any(row.waiting for row in of.rows) else f"use {marked(best)}. It"
        return [f"{start} beats {listed([row.contender for row in beaten])} in {of.metric} ({error_rate(level)})."]
    if best.trained and any(row.trained is False for row in of.rows):
        return [f"use {marked(best)}: no other contender is shown to beat the trivial answer."]
    return [f"only {marked(best)} has results (n = {len(best.values)}); there is nothing to compare it with yet."]


def undecided_words(of: Workload, best: Row, unknown: Sequence[Row], start: str) -> list[str]:
    """Return whose distance from the best is not significant, and whose does not count as it is undertuned."""
    excused = [row for row in unknown if undertuned_loser(best, row, of.pairs)]
    open_ = [row.contender for row in unknown if row not in excused]
    lines = []
    if open_:
        start = start or f"{marked(best)} {leads(of, best, unknown)}; its lead"
        seeds = would_decide(best.contender, open_, of.pairs)
        lines.append(f"{start} over {listed(open_)} is not significant{seeds}.")
    if excused:
        names = listed([row.contender for row in excused])
        lines.append(f"{marked(best)} leads {names}, but {names} {'is' if len(excused) == 1 else 'are'} undertuned.")
    return lines


def leads(of: Workload, best: Row, others: Sequence[Row]) -> str:
    """Return in what the best is ahead: its mean, or its failures."""
    sign = 1.0 if of.direction == "max" else -1.0
    means = [sign * (of.headline_of(row).value or 0.0) for row in (best, *others)]
    return "has the best mean" if means[0] >= max(means) else "has the fewest failed seeds"


def by_loss(of: Workload) -> list[str]:
    """Return what the test loss decides and the headline leaves open."""
    open_ = {frozenset((pair.a, pair.b)) for pair in of.pairs if pair.verdict == UNDECIDED and not pair.undertuned}
    learned = {row.contender for row in of.rows if row.values and row.trained is not False}
    found = []
    for pair in of.loss_pairs:
        if pair.verdict in (BETTER, WORSE) and frozenset((pair.a, pair.b)) in open_ and {pair.a, pair.b} <= learned:
            better, other = (pair.a, pair.b) if pair.verdict == BETTER else (pair.b, pair.a)
            found.append(f"{better} beats {other} (p = {pair.adjusted_p:.2g})")
    return [f"by log test loss {listed(found)}."] if found else []


def unfinished(of: Workload) -> list[str]:
    """Return who waits for final runs, who has none to wait for and of whom every run failed."""
    waiting = [f"{row.contender} ({ended(row)} of {ended(row) + row.waiting} ended)" for row in of.rows if row.waiting]
    lines = [f"waiting for final runs: {listed(waiting)}."] if waiting else []
    none = [row for row in of.rows if not (ended(row) or row.waiting)]
    if none and len(none) < len(of.rows):
        lines.append(f"{listed([row.contender for row in none])} {have(none)} no final runs.")
    gone = [row for row in of.rows if row.failed and not row.values]
    return lines + [f"{count_of(row)} of {row.contender} failed." for row in gone]


def count_of(row: Row) -> str:
    """Return `all 3 final seeds` of a contender whose seeds all failed."""
    return "the only final seed" if row.failed == 1 else f"all {row.failed} final seeds"


def ended(row: Row) -> int:
    """Return the number of final runs that have ended."""
    return len(row.values) + row.failed


def marked(row: Row) -> str:
    """Return a name with what speaks against it."""
    marks = ["undertuned"] if row.edges else []
    marks += [f"{row.failed} of {ended(row)} seeds failed"] if row.failed else []
    return f"{row.contender} ({', '.join(marks)})" if marks else row.contender


def given_words(row: Row) -> str:
    """Return what one contender alone was given, in words."""
    return f"{row.contender} alone was given {listed(row.given)}"


def have(rows: Sequence[Row]) -> str:
    """Return has or have."""
    return "has" if len(rows) == 1 else "have"


def each(rows: Sequence[Row]) -> str:
    """Return ` each` for more than one."""
    return "" if len(rows) == 1 else " each"


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


def beats(a: Row, b: Row, pairs: Sequence[Pair]) -> bool:
    """Return True if a is shown to be better than b."""
    return a is not b and verdict_of(a.contender, b.contender, pairs) == BETTER


def undertuned_loser(a: Row, b: Row, pairs: Sequence[Pair]) -> bool:
    """Return True if a's lead over b does not count as b is undertuned."""
    return any({pair.a, pair.b} == {a.contender, b.contender} and pair.undertuned == b.contender for pair in pairs)


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
    few = [f"{row.contender} ({ended(row)})" for row in rows if 0 < ended(row) < FEW_SEEDS]
    if few:
        found.append(f"Fewer than {FEW_SEEDS} final seeds of {listed(few)}: only large differences can be seen.")
    for row in rows:
        if row.given:
            found.append(f"{given_words(row)}.")
        if row.failed:
            found.append(f"{row.failed} of {ended(row)} final seeds of {row.contender} failed.")
        if row.edges:
            ends = ", ".join(f"{key} ({end})" for key, end in row.edges)
            found.append(f"{row.contender} is undertuned: its best value is on the edge of its box: {ends}.")
    untuned = [row.contender for row in rows if not row.trials]
    if untuned:
        found.append(f"{listed(untuned)} {'was' if len(untuned) == 1 else 'were'} not tuned here.")
    if trials_differ:
        found.append("The contenders were tuned with different numbers of trials.")
    return tuple(found)
