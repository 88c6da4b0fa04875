"""The verdict on a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from optbench.config.measures import MEASURES
from optbench.errors import ConfigError
from optbench.reports.claims.axes import along
from optbench.reports.claims.gains import Gain, Measurement, relation
from optbench.reports.claims.limits import Pair, limited
from optbench.reports.claims.measuring import measure
from optbench.reports.claims.sentences import sentence
from optbench.reports.claims.sides import BUDGET, Side, axes_except, named_keys, pairs_of
from optbench.reports.claims.together import WHERE, iqm
from optbench.reports.model.content import Claim, CriterionVerdict, Evidence, verdict_word
from optbench.reports.read.study_file import StudyFile

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

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


def is_paired(studies: Mapping[str, StudyFile]) -> bool:
    """Return True if every study declares that contenders are compared seed by seed."""
    return bool(studies) and all(tree["settings"].get("paired") is True for tree in studies.values())


def decide_claim(title: str, criteria: Sequence[Criterion], sides: Sequence[Side], level: float) -> Claim:
    """Return the verdict on a claim: that of its criteria together.

    All criteria at `level` show "supported"; any other verdict rests on intervals that hold for all comparisons of the
    claim at once (see the package)."""
    found = [decide_criterion(criterion, sides, level) for criterion in criteria]
    comparisons = sum(len(one.evidence) for one in found if not one.control)
    if comparisons > 1 and not all(one.holds for one in found if not one.control):
        level = 1 - (1 - level) / comparisons
        found = [
            one if one.control else decide_criterion(criterion, sides, level)
            for criterion, one in zip(criteria, found, strict=True)
        ]
    return claim_of(title, list(zip(criteria, found, strict=True)), level)


def claim_of(title: str, decided: Sequence[tuple[Criterion, CriterionVerdict]], level: float) -> Claim:
    """Return the verdict on a claim whose criteria are decided."""
    found = tuple(one for _, one in decided)
    seeds = [e.n for one in found for e in one.evidence if e.unit == "seeds" and e.n is not None]
    n = min(seeds, default=None)
    few = n is not None and n < FEW
    holds, testable = together(found)
    claim = Claim(title, holds, "", found, n, few, testable, level)
    rests = f" It rests on few seeds: {n}." if few else ""
    about = title or "; ".join(one.text or one.statement for one in found)
    comparisons = sum(len(one.evidence) for one in found if not one.control)
    if comparisons > 1 and holds is not True:
        rests = f" The intervals, at {100 * level:.4g} %, hold for all {comparisons} comparisons together.{rests}"
    return replace(claim, text=about, sentence=f"{sentence(decided, claim.verdict)}{rests}")


def together(found: Sequence[CriterionVerdict]) -> tuple[bool | None, bool]:
    """Return whether a claim of these criteria holds, and whether it is testable here.

    A control that fails leaves nothing to test; one that is not shown leaves the claim undecided. Without a criterion
    that can be tested here the claim cannot be supported, but another one may refute it."""
    controls, counted = ([one for one in found if one.control is which] for which in (True, False))
    if any(one.holds is False or not one.testable for one in controls):
        return None, False
    holds = all_hold([one.holds for one in counted])
    if not all(one.holds for one in controls):
        return None, True
    return holds, holds is not None or all(one.testable for one in counted)


def all_hold(found: Sequence[bool | None]) -> bool | None:
    """Return True if all hold, False if one does not, else None."""
    if False in found:
        return False
    return None if not found or None in found else True


def decide_criterion(criterion: Criterion, sides: Sequence[Side], level: float) -> CriterionVerdict:
    """Return the verdict on one criterion: its relation must hold at every place."""
    return decided_places(criterion, evidence_for(criterion, sides, level))


def decided_places(criterion: Criterion, evidence: Sequence[Evidence]) -> CriterionVerdict:
    """Return the verdict on one criterion from its evidence at each place."""
    holds = all_hold([one.holds for one in evidence])
    testable = holds is not None or all(one.testable for one in evidence)
    words = "; ".join(f"{one.where}: {one.words}" for one in evidence) or "no workload has both sides"
    return CriterionVerdict(
        text=criterion.text,
        statement=criterion.statement,
        measure=criterion.measure,
        relation=criterion.relation,
        margin=criterion.margin,
        margin_words=criterion.unit,
        holds=holds,
        verdict=verdict_word(holds, testable, sum(one.holds is True for one in evidence), len(evidence)),
        words=words,
        evidence=tuple(evidence),
        testable=testable,
        control=criterion.control,
    )


def evidence_for(criterion: Criterion, sides: Sequence[Side], level: float) -> list[Evidence]:
    """Return the evidence of each pair; a measure over all workloads has one piece of evidence."""
    if criterion.measure in TOGETHER:
        measured = TOGETHER[criterion.measure](criterion, sides, level)
        return [evidence_of(criterion, WHERE, measured, pairs_of(criterion, sides), level)]
    found = []
    for key, values in criterion.along.items():
        sides = along(sides, key, values)
    for where, a, b in named_pairs(criterion, sides):
        known = criterion.against if isinstance(criterion.against, float) else 0.0
        measured = measure(criterion.measure, a, b if b is not None else known, level)
        beside = b.along if b is not None and b.along else (b,) * max(1, len(a.along))
        pairs = list(zip(a.along or (a,), beside, strict=False))
        found.append(evidence_of(criterion, where, measured, pairs, level))
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


def evidence_of(criterion: Criterion, where: str, found: Measurement, pairs: Sequence[Pair], level: float) -> Evidence:
    """Return what a measure says of a criterion, as far as nothing limits it."""
    low, high, margin = found.low, found.high, margin_of(criterion)
    holds = None if low is None or high is None else relation(criterion.relation, Gain(low, high, margin))
    limit = limited(criterion, holds, found, margin, pairs, level)
    counted = f", n = {found.n} {found.unit}" if low is not None and high is not None else ""
    words = f"{found.words}{counted}" + (f" ({limit.why})" if limit.why else "")
    low, high, value = (
        known if known is not None and math.isfinite(known) else None for known in (low, high, found.value)
    )
    return Evidence(where, limit.holds, words, low, high, found.n, found.unit, value, limit.testable)


def margin_of(criterion: Criterion) -> float:
    """Return the criterion's margin in the unit of the gain: the logarithm for ratios."""
    return math.log1p(criterion.margin) if MEASURES[criterion.measure].is_ratio else criterion.margin
