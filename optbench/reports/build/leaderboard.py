"""The leaderboard of a workload: a row for each contender, best first, with the ranks that the verdicts allow."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optbench.reports.contenders import DONE, HEADLINES, OPEN, TUNE, Contender
from optbench.reports.model.content import Pair, Row
from optbench.reports.model.rows import Estimate
from optbench.reports.read.columns import RunRow, number_in
from optbench.reports.statistics.difference import Arm, arm_selection_variance
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.statistics.trained import pooled_sd, trained
from optbench.reports.statistics.verdicts import BETTER, WORSE

Span = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A contender with what decides its place."""

    contender: Contender
    arm: Arm
    trained: bool | None
    waiting: int
    """Final runs that have not ended."""

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.contender.name

    @property
    def ended(self) -> int:
        """Final runs that have ended."""
        return len(self.arm.values) + self.arm.failed

    @property
    def sort_key(self) -> tuple[int, float, float, str]:
        """Two results or more, then one, then not trained, then none; by failed seeds, then by mean."""
        values = self.arm.values
        if not values:
            return 3, float(self.arm.failed > 0), 0.0, self.name
        group = 2 if self.trained is False else int(len(values) < 2)
        return group, self.arm.failed / self.ended, -statistics.fmean(values), self.name


def entries(
    contenders: Sequence[Contender],
    runs: Sequence[RunRow],
    headline: str,
    sign: float,
    level: float,
    planned: Mapping[str, int],
) -> list[Entry]:
    """Return the contenders, best first. `planned`: final seeds by study."""
    arms = with_trivial(
        [contender.arm(headline, sign) for contender in contenders], trivial_of(contenders, headline), sign
    )
    pooled = pooled_sd(arms)
    found = [
        Entry(contender, arm, trained(arm, level, pooled), waiting(contender, runs, planned))
        for contender, arm in zip(contenders, arms, strict=True)
    ]
    return sorted(found, key=lambda entry: entry.sort_key)


def trivial_of(contenders: Sequence[Contender], headline: str) -> float | None:
    """Return the headline of the trivial answer, None if no run knows it."""
    known = [value for contender in contenders if (value := contender.trivial(headline)) is not None]
    return statistics.median(known) if known else None


def with_trivial(arms: Sequence[Arm], trivial: float | None, sign: float) -> list[Arm]:
    """Return the arms with the workload's trivial answer where an arm knows none, as one without results."""
    if trivial is None:
        return list(arms)
    return [arm if arm.trivial is not None else replace(arm, trivial=sign * trivial) for arm in arms]


def waiting(contender: Contender, runs: Sequence[RunRow], planned: Mapping[str, int]) -> int:
    """Return the number of final runs that were started or planned and have not ended."""
    own = [run for run in runs if run["contender"] == contender.name]
    started = sum(run["stage"] != TUNE and run["status"] == OPEN for run in own)
    if contender.cell.get("stage", DONE) == DONE:
        return started
    return max(started, planned.get(own[0]["study"], 0) - len(contender.finals))


def ranges(found: Sequence[Entry], pairs: Sequence[Pair]) -> dict[str, Span]:
    """Return the range of ranks of each contender: a contender is behind those that are shown to be better, and who is
    not trained is behind those that are. Fewer than two runs show nothing."""
    entry = {one.name: one for one in found}
    better = {(one.a, one.b) if one.verdict == BETTER else (one.b, one.a) for one in pairs if one.verdict in WINS}
    better |= {
        (a.name, b.name) for a in found for b in found if a.trained and b.trained is False and min(a.ended, b.ended) > 1
    }
    return {
        name: (
            1 + sum((other, name) in better for other in entry),
            len(found) - sum((name, o) in better for o in entry),
        )
        for name in entry
    }


WINS = (BETTER, WORSE)


def row(entry: Entry, headline: str, span: Span, sign: float, level: float) -> Row:
    """Return one contender's row; `sign` is -1 for losses."""
    contender = entry.contender
    runs, winner = contender.succeeded, contender.winner
    values = contender.values(HEADLINES[headline])
    gaps = [sign * (r["train"] - r["test"]) for r in runs if r["train"] is not None and r["test"] is not None]
    known = [run for run in runs if number_in(run, HEADLINES[headline]) is not None]

    def mean(column: str) -> Estimate:
        return mean_interval(contender.values(column), level, contender.scale(column))

    return Row(
        contender=contender.name,
        implementation=(contender.finals[0]["implementation"] or "") if contender.finals else "",
        rank_low=span[0],
        rank_high=span[1],
        test=mean("test"),
        val=mean("val"),
        best_val=mean("best_val"),
        train=mean("train"),
        gap=mean_interval(gaps, level),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        values=tuple(values),
        seeds=tuple(run["seed"] for run in known),
        failed=contender.failed,
        trials=len(contender.tuning),
        tune_val=contender.score(winner) if winner is not None else None,
        tuned=contender.chosen,
        luck=math.sqrt(arm_selection_variance(entry.arm)),
        edges=tuple((key, end) for key, end in contender.cell.get("edges") or ()),
        box=box_of(contender),
        trained=entry.trained,
        waiting=entry.waiting,
        given=given(contender),
        loss=test_loss(contender, level),
    )


def box_of(contender: Contender) -> str:
    """Return the name of a contender's search box with its intervals; empty where study.json does not say."""
    name, box = contender.cell.get("box_name"), contender.cell.get("box")
    if not name or not isinstance(box, Mapping):
        return ""
    return f"{name}: " + ", ".join(f"{str(key).partition('.')[2]} {spec}" for key, spec in box.items())


def given(contender: Contender) -> tuple[str, ...]:
    """Return what this contender alone was given, in the order of its runs."""
    runs = (*contender.finals, *(run for trial in contender.tuning.values() for run in trial))
    return tuple(dict.fromkeys(word for run in runs for word in run["given"] or ()))


def test_loss(contender: Contender, level: float) -> Estimate:
    """Return the mean test loss beside a metric that is a share; no number otherwise."""
    if any(run["metric_scale"] != "share" for run in contender.succeeded):
        return Estimate(None)
    return mean_interval(contender.values("test_loss"), level)
