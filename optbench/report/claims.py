"""Whether a study's claim holds: `claim: {measure, of, against, relation, margin}` of its study.yaml.

One pair was named before the runs, so nothing is corrected for other pairs. A relation is shown, or the opposite is, by
the 95 % interval of the difference; in between the claim is undecided. On several workloads it must hold on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optbench.report.columns import COLUMNS
from optbench.report.contenders import HEADLINES, Contender
from optbench.report.content import Claim, Estimate
from optbench.report.statistics.difference import difference
from optbench.report.statistics.intervals import ratio_interval
from optbench.report.studies import as_number

NEEDED = ("measure", "of", "against", "relation")
RELATIONS = ("better", "worse", "tie", "not_worse", "not_better")
MORE_IS_BETTER = ("samples_per_second", "flops_per_second")  # of the columns that are no metric


@dataclass(frozen=True)
class Gain:
    """How much better one is than the other on a workload, with its interval; `margin` in the same unit."""

    workload: str
    low: float
    high: float
    margin: float
    words: str


def claim_of(tree: Mapping[str, Any], gains: Sequence[Gain], missing: Sequence[str]) -> Claim:
    """The verdict on a claim; `missing`: workloads that have no numbers for it."""
    text = str(tree.get("text") or ", ".join(f"{key}: {value}" for key, value in tree.items()))
    found = [relation(str(tree["relation"]), gain) for gain in gains]
    holds = None if missing or not gains or None in found else all(found)
    if False in found:
        holds = False
    word = {True: "supported", False: "not supported", None: "inconclusive"}[holds]
    said = [f"{gain.workload}: {gain.words}" for gain in gains] + [f"{name}: no numbers" for name in missing]
    how = {"tie": "equal to"}.get(str(tree["relation"]), f"{tree['relation']} than".replace("_", " "))
    about = f"{tree['of']} is {how} {tree['against']} in {tree['measure']}"
    return Claim(text, holds, f"The claim that {about} is {word}: {'; '.join(said) or 'no workload has both'}.")


def claims_in(studies: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The claim of the one study that was read, in its shape; None where there is none, or several studies."""
    claim = next(iter(studies.values()))["settings"].get("claim") if len(studies) == 1 else None
    whole = isinstance(claim, Mapping) and all(isinstance(claim.get(key), str) for key in NEEDED)
    known = (
        whole
        and claim["relation"] in RELATIONS
        and (claim.get("margin") is None or as_number(claim["margin"]) is not None)
    )
    return claim if known else None


def decided(
    tree: Mapping[str, Any], workloads: Mapping[str, tuple[Mapping[str, Contender], float]], level: float
) -> Claim:
    """The verdict on a claim; `workloads`: by name, the contenders at the full budget and 1 where more of the metric is
    better, else -1."""
    gains, missing = [], []
    for name, (contenders, sign) in workloads.items():
        a, b = (contenders.get(tree[key]) for key in ("of", "against"))
        if a is None or b is None:
            continue
        gain = gain_of(name, a, b, tree["measure"], float(tree.get("margin") or 0.0), sign, level)
        if gain is None:
            missing.append(name)
        else:
            gains.append(gain)
    return claim_of(tree, gains, missing)


def relation(word: str, gain: Gain) -> bool | None:
    """Whether a relation is shown (True), its opposite is (False), or neither."""
    low, high, margin = gain.low, gain.high, gain.margin
    if word in ("worse", "not_better"):
        turned = Gain(gain.workload, -high, -low, margin, gain.words)
        return relation({"worse": "better", "not_better": "not_worse"}[word], turned)
    if word == "better":
        return True if low > 0 else False if high <= margin else None
    if word == "not_worse":
        return True if low >= -margin else False if high < -margin else None
    inside = -margin <= low and high <= margin
    return True if inside else False if low > margin or high < -margin else None


def gain_of(
    workload: str, a: Contender, b: Contender, measure: str, margin: float, sign: float, level: float
) -> Gain | None:
    """The gain of a over b in a measure: a metric in its unit, with the luck of tuning; any other column as a share of
    b's. None where there are no numbers for an interval."""
    if measure in HEADLINES:
        return of_metric(workload, a, b, measure, margin, sign, level)
    if measure not in COLUMNS or COLUMNS[measure][0] not in (int, float):
        return None
    ratio = ratio_interval(a.values(measure), b.values(measure), level)
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return None
    turn = 1.0 if measure in MORE_IS_BETTER else -1.0
    ends = sorted((turn * math.log(ratio.low), turn * math.log(ratio.high)))
    return Gain(workload, *ends, math.log1p(margin), f"{spoken(ratio)} times that of {b.name}")


def of_metric(
    workload: str, a: Contender, b: Contender, measure: str, margin: float, sign: float, level: float
) -> Gain | None:
    """The same for the metric on test or validation."""
    found = difference(a.arm(measure, sign), b.arm(measure, sign))
    if found is None or a.failed or b.failed:
        return None
    half = found.half_width(level)
    words = spoken(Estimate(sign * found.value, sign * found.value - half, sign * found.value + half))
    return Gain(workload, found.value - half, found.value + half, margin, f"difference {words}")


def spoken(of: Estimate) -> str:
    """A number with its interval."""
    return f"{of.value:.4g} [{of.low:.4g}, {of.high:.4g}]"
