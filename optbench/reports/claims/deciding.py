"""The verdict on a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optbench.config.measures import MEASURES
from optbench.errors import ConfigError
from optbench.reports.claims.gains import Gain, Measurement, relation
from optbench.reports.claims.measuring import measure
from optbench.reports.claims.sides import BUDGET, Side, axes_except, named_keys, pairs_of
from optbench.reports.claims.together import WHERE, iqm
from optbench.reports.model.content import Claim, CriterionVerdict, Evidence
from optbench.reports.read.study_file import StudyFile

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

WORDS = {True: "supported", False: "not supported", None: "inconclusive"}
TOGETHER = {"iqm": iqm}
FEW = 5
"""A claim on fewer seeds than these says so."""


def claims_in(studies: Mapping[str, StudyFile]) -> tuple[str, tuple[Criterion, ...]] | None:
    """Return the claim in words (empty if it has no title) and its criteria.

    None for several studies, and for a claim that is missing or malformed."""
    settings = next(iter(studies.values()))["settings"] if len(studies) == 1 else {}
    if not settings.get("claim"):
        return None
    from optbench.config.claims import criteria_of

    try:
        return str(settings.get("title") or ""), criteria_of(settings["claim"])
    except ConfigError:
        return None


def decide_claim(title: str, criteria: Sequence[Criterion], sides: Sequence[Side], level: float) -> Claim:
    """Return the verdict on a claim: that of its criteria together."""
    found = tuple(decide_criterion(criterion, sides, level) for criterion in criteria)
    holds = all_hold([one.holds for one in found])
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


def all_hold(found: Sequence[bool | None]) -> bool | None:
    """Return True if all hold, False if one does not, else None."""
    if False in found:
        return False
    return None if not found or None in found else True


def decide_criterion(criterion: Criterion, sides: Sequence[Side], level: float) -> CriterionVerdict:
    """Return the verdict on one criterion."""
    evidence = evidence_for(criterion, sides, level)
    holds = all_hold([one.holds for one in evidence])
    words = "; ".join(f"{one.where}: {one.words}" for one in evidence) or "no workload has both sides"
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
    """Return the evidence of each pair; a measure over all workloads has one piece of evidence."""
    if criterion.measure in TOGETHER:
        return [evidence_of(criterion, WHERE, TOGETHER[criterion.measure](criterion, sides, level))]
    found = []
    for where, a, b in named_pairs(criterion, sides):
        known = criterion.against if isinstance(criterion.against, float) else 0.0
        against = b if b is not None else known
        found.append(evidence_of(criterion, where, measure(criterion.measure, a, against, level)))
    return found


def named_pairs(criterion: Criterion, sides: Sequence[Side]) -> list[tuple[str, Side, Side | None]]:
    """Return the pairs, each with its workload and whatever tells several pairs on it apart."""
    pairs, named = pairs_of(criterion, sides), named_keys(criterion, sides)
    names = [a.workload for a, _ in pairs]
    found = []
    for (a, b), name in zip(pairs, names, strict=True):
        shared = [f"{key}={value}" for key, value in axes_except(a, {*named, BUDGET}) if f"{key}={value}" not in name]
        found.append((" ".join([name, *shared]) if names.count(name) > 1 else name, a, b))
    return found


def evidence_of(criterion: Criterion, where: str, found: Measurement) -> Evidence:
    """Return what a measure says of a criterion."""
    if found.low is None or found.high is None:
        return Evidence(where, None, found.words, n=found.n, unit=found.unit)
    holds = relation(criterion.relation, Gain(found.low, found.high, margin_of(criterion)))
    words = f"{found.words}, n = {found.n} {found.unit}"
    low, high, value = (
        known if known is not None and math.isfinite(known) else None for known in (found.low, found.high, found.value)
    )
    return Evidence(where, holds, words, low, high, n=found.n, unit=found.unit, value=value)


def margin_of(criterion: Criterion) -> float:
    """Return the criterion's margin in the unit of the gain: the logarithm for ratios."""
    return math.log1p(criterion.margin) if MEASURES[criterion.measure].is_ratio else criterion.margin
