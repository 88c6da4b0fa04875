"""Decide a published claim again, by today's rules, from the runs that were published with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from optbench.config.claims import Criterion
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.claims.deciding import claim_of, decided_places, margin_of
from optbench.reports.claims.gains import Gain, relation
from optbench.reports.model.content import Claim, CriterionVerdict, Evidence
from optbench.reports.statistics.intervals import t_quantile
from optbench.reproducing.document import EvidenceDocument, VerdictDocument
from optbench.reproducing.publish import ReproducedClaim, command_of
from optbench.reproducing.published import RENAMED
from optbench.reproducing.stored import NOT_STORED, stored_results

if TYPE_CHECKING:
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study


AS_PUBLISHED = " (as published; the stored runs lack it)"


@dataclass(frozen=True)
class Redecided:
    """A published claim, decided again."""

    before: VerdictDocument
    now: ReproducedClaim

    @property
    def changes(self) -> list[str]:
        """A line for each criterion whose verdict changed."""
        old = {one.get("text") or one.get("statement", ""): one for one in self.before.get("criteria", [])}
        lines = []
        for one in self.now.claim.criteria:
            name = one.text or one.statement
            was = old.get(name, {}).get("verdict", "not asked")
            was = RENAMED.get(was, was)
            if was != one.verdict:
                lines.append(f"{name}: {was} -> {one.verdict} ({one.words})")
        return lines


def decide_again(
    slug: str,
    title: str,
    study: Study,
    cells: Sequence[Cell],
    criteria: Sequence[Criterion],
    folder: Path,
    before: VerdictDocument,
    options: ReportOptions,
) -> Redecided:
    """Return a published claim with its verdict by today's rules. Raises ConfigError for runs that do not fit it.

    `folder`: where it is published."""
    results = stored_results(folder, study, cells)
    options = replace(options, command=command_of(slug, study.scale), records=False)
    report = build(results, options)
    assert report.claim is not None  # a study without one is refused when it is read
    claim = with_published(report.claim, criteria, before, options.level)
    report = replace(report, claim=claim)
    return Redecided(before, ReproducedClaim(slug, study.scale, title, study.claim, report, results, before))


def with_published(claim: Claim, criteria: Sequence[Criterion], before: VerdictDocument, level: float) -> Claim:
    """Return a claim in which published intervals stand in for those that the stored runs have no numbers for."""
    was = before.get("interval_level") or before.get("level", level)
    known = {one.get("statement"): one.get("evidence", []) for one in before.get("criteria", [])}
    found = [
        filled(criterion, one, known.get(one.statement, []), claim.level or level, was)
        for criterion, one in zip(criteria, claim.criteria, strict=True)
    ]
    if all(new is old for new, old in zip(found, claim.criteria, strict=True)):
        return claim
    return claim_of(claim.text, list(zip(criteria, found, strict=True)), claim.level or level)


def filled(
    criterion: Criterion, of: CriterionVerdict, published: Sequence[EvidenceDocument], level: float, was: float
) -> CriterionVerdict:
    """Return a criterion with published intervals where its numbers are not stored."""
    if criterion.measure not in NOT_STORED:
        return of
    by_place = {one.get("where"): one for one in published}
    evidence = tuple(
        of_published(criterion, one, by_place[one.where], level, was)
        if one.low is None and one.high is None and one.testable and has_ends(by_place.get(one.where, {}))
        else one
        for one in of.evidence
    )
    return of if evidence == of.evidence else decided_places(criterion, evidence)


def has_ends(of: EvidenceDocument) -> bool:
    """Return True if a published piece of evidence has both ends of its interval."""
    return of.get("low") is not None and of.get("high") is not None


def of_published(criterion: Criterion, of: Evidence, published: EvidenceDocument, level: float, was: float) -> Evidence:
    """Return a published interval at another level: wider by the ratio of Student's quantiles for the smaller side."""
    low, high, n = (cast("float", published.get(key)) for key in ("low", "high", "n"))
    wider = t_quantile(0.5 + level / 2, max(1.0, n - 1)) / t_quantile(0.5 + was / 2, max(1.0, n - 1))
    grown = (wider - 1) * (high - low) / 2  # exactly 0 at the same level
    low, high = low - grown, high + grown
    holds = relation(criterion.relation, Gain(low, high, margin_of(criterion)))
    words = f"{published.get('words', '').removesuffix(AS_PUBLISHED)}{AS_PUBLISHED}"
    return replace(of, holds=holds, words=words, low=low, high=high, n=int(n), value=(low + high) / 2)
