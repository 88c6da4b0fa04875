"""The verdict on a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.config.measures import MEASURES
from optbench.errors import ConfigError
from optbench.reports.claims.gains import Gain, Measured, relation
from optbench.reports.claims.measuring import measure
from optbench.reports.claims.sides import BUDGET, Side, named_keys, pairs_of, rest_of
from optbench.reports.claims.together import WHERE, iqm
from optbench.reports.model.content import Claim, CriterionVerdict, Evidence

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

WORDS = {True: "supported", False: "not supported", None: "inconclusive"}
TOGETHER = {"iqm": iqm}
FEW = 5
"""Fewer seeds than these are said to be few."""


def claims_in(studies: Mapping[str, Mapping[str, Any]]) -> tuple[str, tuple[Criterion, ...]] | None:
    """The claim in words (empty where it has none of its own) and its criteria, of the one study that was read; None
    where there is none, or one in no shape, or several studies."""
    settings = next(iter(studies.values()))["settings"] if len(studies) == 1 else {}
    if not settings.get("claim"):
        return None
    from optbench.config.claims import criteria_of

    try:
        return str(settings.get("title") or ""), criteria_of(settings["claim"])
    except ConfigError:
        return None


def decided(title: str, criteria: Sequence[Criterion], sides: Sequence[Side], level: float) -> Claim:
    """The verdict on a claim: that of its criteria together."""
    found = tuple(decide(criterion, sides, level) for criterion in criteria)
    holds = together([one.holds for one in found])
    seeds = [e.n for one in found for e in one.evidence if e.unit == "seeds" and e.n is not None]
    n = min(seeds, default=None)
    few = n is not None and n < FEW
    about = title or "; ".join(one.text or one.statement for one in found)
    rests = f" It rests on few seeds: {n}." if few else ""
    if len(found) == 1:
        sentence = f"The claim that {found[0].statement} is {WORDS[holds]}: {found[0].words}.{rests}"
    else:
        counts = [f"{sum(one.holds is key for one in found)} {word}" for key, word in WORDS.items()]
        sentence = f"The claim is {WORDS[holds]}: of its {len(found)} criteria {', '.join(counts)}.{rests}"
    return Claim(about, holds, sentence, found, n, few)


def together(found: Sequence[bool | None]) -> bool | None:
    """All must hold: one that does not settles it, and one that is undecided leaves it so."""
    if False in found:
        return False
    return None if not found or None in found else True


def decide(criterion: Criterion, sides: Sequence[Side], level: float) -> CriterionVerdict:
    """The verdict on one criterion."""
    evidence = evidence_for(criterion, sides, level)
    holds = together([one.holds for one in evidence])
    words = "; ".join(f"{one.where}: {one.words}" for one in evidence) or "no workload has both"
    return CriterionVerdict(
        text=criterion.text,
        statement=criterion.statement,
        measure=criterion.measure,
        relation=criterion.relation,
        margin=criterion.margin,
        margin_words=criterion.unit,
        holds=holds,
        verdict=WORDS[holds],
        words=words,
        evidence=tuple(evidence),
    )


def evidence_for(criterion: Criterion, sides: Sequence[Side], level: float) -> list[Evidence]:
    """What each pair says; of a measure over all workloads, all of them at once."""
    if criterion.measure in TOGETHER:
        return [evidence_of(criterion, WHERE, TOGETHER[criterion.measure](criterion, sides, level))]
    found = []
    for where, a, b in named_pairs(criterion, sides):
        against = b if b is not None else float(criterion.against)  # type: ignore[arg-type]
        found.append(evidence_of(criterion, where, measure(criterion.measure, a, against, level)))
    return found


def named_pairs(criterion: Criterion, sides: Sequence[Side]) -> list[tuple[str, Side, Side | None]]:
    """The pairs, each by where it is: its workload, and what else both sides share where there are several."""
    pairs, named = pairs_of(criterion, sides), named_keys(criterion, sides)
    names = [a.workload for a, _ in pairs]
    found = []
    for (a, b), name in zip(pairs, names, strict=True):
        shared = [f"{key}={value}" for key, value in rest_of(a, {*named, BUDGET}) if f"{key}={value}" not in name]
        found.append((" ".join([name, *shared]) if names.count(name) > 1 else name, a, b))
    return found


def evidence_of(criterion: Criterion, where: str, found: Measured) -> Evidence:
    """What a measure says of a criterion."""
    if found.low is None or found.high is None:
        return Evidence(where, None, found.words, n=found.n, unit=found.unit)
    holds = relation(criterion.relation, gain_of(criterion, where, found))
    words = f"{found.words}, n = {found.n} {found.unit}"
    low, high, value = (
        known if known is not None and math.isfinite(known) else None for known in (found.low, found.high, found.value)
    )
    return Evidence(where, holds, words, low, high, n=found.n, unit=found.unit, value=value)


def gain_of(criterion: Criterion, where: str, found: Measured) -> Gain:
    """The gain with the criterion's margin in its unit: of a ratio its logarithm."""
    share = MEASURES[criterion.measure].is_ratio
    margin = math.log1p(criterion.margin) if share else criterion.margin
    return Gain(where, found.low, found.high, margin, found.words)  # type: ignore[arg-type]
