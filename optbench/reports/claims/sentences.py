"""A claim's verdict in a sentence: who holds, and who doesn't."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from optbench.reports.model.content import VERDICTS, CriterionVerdict

if TYPE_CHECKING:
    from optbench.config.claims import Criterion, Plain

VERBS = {  # relation: what the sides do where it is shown, and where its opposite is
    "better": ("beat {}", "don't beat {}"),
    "better_by": ("beat {} by the margin", "don't beat {} by the margin"),
    "worse": ("lose to {}", "don't lose to {}"),
    "worse_by": ("lose to {} by the margin", "don't lose to {} by the margin"),
    "tie": ("equal {}", "differ from {}"),
    "not_worse": ("are no worse than {}", "are worse than {}"),
    "not_better": ("don't beat {}", "beat {}"),
}
SINGULAR = {"are": "is", "don't": "doesn't"}
Decided = tuple["Criterion", CriterionVerdict]


def sentence(decided: Sequence[Decided], verdict: str) -> str:
    """Return the verdict on a claim, with the verdict on each of its criteria."""
    counted = [one for one in decided if not one[1].control]
    failed = [found for _, found in decided if found.control and found.holds is not True]
    if len(counted) == 1 and not failed:
        found = counted[0][1]
        return f"The claim that {found.statement} is {verdict}: {found.words}."
    parts = [f"the control {'fails' if one.holds is False else 'is not shown'}: {name_of(one)}" for one in failed]
    groups = alike(counted)
    parts += [several(group) for group in groups] if groups else each(counted)
    listing = "; ".join(parts)
    return f"The claim is {verdict}. {listing[:1].upper()}{listing[1:]}."


def alike(decided: Sequence[Decided]) -> list[list[Decided]]:
    """Return the criteria in groups that ask the same of several contenders; empty if some ask for more than that."""
    groups: dict[tuple[object, ...], list[Decided]] = {}
    for criterion, found in decided:
        key = (criterion.measure, criterion.relation, repr(criterion.against), criterion.margin, repr(criterion.on))
        groups.setdefault(key, []).append((criterion, found))
    return list(groups.values()) if min(map(len, groups.values()), default=0) > 1 else []


def several(decided: Sequence[Decided]) -> str:
    """Return who does and who doesn't, of contenders that the same is asked of; who beats something comes first."""
    from optbench.config.claims import words_of

    criterion = decided[0][0]
    verbs = dict(zip((VERDICTS[True], VERDICTS[False]), VERBS[criterion.relation], strict=True))
    order = [*verbs] if criterion.relation != "not_better" else [*verbs][::-1]
    parts = []
    for verdict in dict.fromkeys((*order, *(found.verdict for _, found in decided))):
        names = [short(one.of) for one, found in decided if found.verdict == verdict]
        if names and verdict in verbs:
            what = agreeing(verbs[verdict].format(words_of(criterion.against).removeprefix("optimizer=")), names)
            parts.append(f"{listed(names)} {what} ({len(names)} of {len(decided)})")
        elif names:
            parts.append(f"{listed(names)} {'is' if len(names) == 1 else 'are'} {verdict}")
    return f"in {criterion.measure} {', '.join(parts)}"


def agreeing(what: str, names: Sequence[str]) -> str:
    """Return a verb in the singular for one name."""
    if len(names) > 1:
        return what
    verb, _, rest = what.partition(" ")
    return f"{SINGULAR.get(verb, f'{verb}s')} {rest}"


def each(decided: Sequence[Decided]) -> Iterator[str]:
    """Yield the criteria of each verdict."""
    ordered = sorted((found for _, found in decided), key=lambda one: (list(VERDICTS).index(one.holds), one.verdict))
    for verdict, group in itertools.groupby(ordered, lambda one: one.verdict):
        yield f"{verdict}: {', '.join(name_of(one) for one in group)}"


def name_of(found: CriterionVerdict) -> str:
    """Return a criterion in its own words, else in standard ones."""
    return found.text or found.statement


def short(side: str | dict[str, Plain]) -> str:
    """Return a side without its key if it has just one, and without that of its optimizer."""
    from optbench.config.claims import words_of

    if isinstance(side, dict) and len(side) == 1:
        return f"{next(iter(side.values()))}"
    return words_of(side).removeprefix("optimizer=")


def listed(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
