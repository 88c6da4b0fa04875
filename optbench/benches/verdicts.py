"""Are verdicts calibrated? Simulates studies, including tuning and the selection of the winner.

    optbench bench verdicts studies=2000

Each study tunes copies of one optimizer at the same Sobol points with noisy scores, reruns each winner on fresh seeds,
and computes the verdict. The metric falls quadratically from an optimum in a box of two dimensions. From the optimum
across the box it falls by 30 to 600 standard deviations of a run: sweeps of three optimizers on `model=mlp,logreg`
showed about that (with four trials each, the worst lay 14 to 212 standard deviations of a final run below the best).
With `surface=shallow` it falls by 3 to 30.

False verdicts: how often identical optimizers are called better or worse. Power: how often an optimizer that is better
by `gap` standard deviations is called better. Both are shown for the verdicts of today, and for verdicts that know
nothing of a metric's values, pairs, tuning seeds and scrambles ("before"). Coverage: how often the interval of a tuned
mean contains it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np

from optbench.benches import Report, comma_separated
from optbench.benches.verdict_studies.noise import NOISES
from optbench.benches.verdict_studies.scenario import SURFACES, Scenario, as_before, draw_study, untuned
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.statistics.scale import Scale
from optbench.reports.statistics.verdicts import Margin, verdicts

log = logging.getLogger(__name__)
LEVEL, COVERAGE_TOLERANCE = 0.95, 0.02
POWER, POWER_SEEDS = 0.8, 5
MARGIN = 0.5  # of a standard deviation: negligible
WITHOUT_GOAL = (  # what the intervals don't cover; boxes: a wider one is searched less densely, so its best is worse
    "lognormal",
    "one scramble, optima elsewhere",
    "boxes of different width",
    "two scrambles, boxes",
)
PLAIN = [Scenario(f"{noise}, {seeds} seeds", noise, seeds) for noise in NOISES for seeds in (3, 5, 10)]
POWERFUL = tuple(s.name for s in PLAIN if s.seeds == POWER_SEEDS and s.noise not in WITHOUT_GOAL)
OTHER = [
    Scenario("three tuning seeds", tune_seeds=3),
    Scenario("five tuning seeds", tune_seeds=5),
    Scenario("shortlist of three", shortlist=3),
    Scenario("shortlist, 8 finals, pairs r = 0.6", shortlist=3, seeds=8, correlation=0.6),
    Scenario("pairs, r = 0.3", correlation=0.3),
    Scenario("pairs, r = 0.9", correlation=0.9),
    Scenario("noise 1 : 3", ratio=3.0),
    Scenario("noise 1 : 3, 3 seeds", ratio=3.0, seeds=3),
    Scenario("a tenth of the runs fails", failures=0.1),
    Scenario("accuracy 0.9", accuracy=0.9),
    Scenario("accuracy 0.99", accuracy=0.99),
    Scenario("accuracy 0.99, 3 seeds", accuracy=0.99, seeds=3),
    Scenario("accuracy 0.997, 3 seeds", accuracy=0.997, seeds=3),
    Scenario("accuracy 0.997, 10 seeds", accuracy=0.997, seeds=10),
    Scenario("one scramble, optima elsewhere", elsewhere=True),
    Scenario("two scrambles, optima elsewhere", elsewhere=True, scrambles=2),
    Scenario("two scrambles, shortlist, elsewhere", elsewhere=True, scrambles=2, shortlist=3, seeds=8),
    Scenario("boxes of different width", width=2.0),
    Scenario("two scrambles, boxes 1 : 2, elsewhere", width=2.0, scrambles=2, elsewhere=True),
]


def measure(
    config: RunConfig | None,
    studies: int = 2000,
    trials: int = 16,
    gap: float = 3.0,
    copies: int = 2,
    surface: str = "steep",
    draw: int = 0,
    only: str = "",
) -> Report:
    """Return the rates of false verdicts, coverage and power of each scenario.

    `studies`: simulated studies. `trials`: trials of each copy. `gap`: the better optimizer's lead in standard
    deviations. `copies`: copies of one optimizer, compared pair by pair. `surface`: steep or shallow. `draw`: seed.
    `only`: scenarios whose names contain one of these words."""
    if surface not in SURFACES:
        raise ConfigError(f"surface={surface}: unknown surface", f"Choose from {', '.join(SURFACES)}")
    words = comma_separated(only)
    chosen = [s for s in (*PLAIN, *OTHER) if not words or any(word in s.name for word in words)]
    if not chosen:
        raise ConfigError(f"only={only}: no scenario has such a name", "; ".join(s.name for s in (*PLAIN, *OTHER)))
    rows = []
    for scenario in chosen:
        random = np.random.default_rng([draw, scenario.seeds])
        scenario = replace(scenario, trials=trials, copies=copies, surface=surface)
        found = simulate(random, scenario, studies, gap)
        rows.append({"scenario": scenario.name, "share": scenario.accuracy is not None, **found})
        log.info(f"{scenario.name}: done")
    return {
        "studies": studies,
        "trials": trials,
        "copies": copies,
        "gap": gap,
        "surface": surface,
        **with_goal(rows, studies),
    }


def simulate(random: np.random.Generator, scenario: Scenario, studies: int, gap: float) -> dict[str, float]:
    """Return the shares of studies with false verdicts (also of verdicts as they were, and of a plain Welch test),
    ties, coverage and power."""
    counts = dict.fromkeys(("wrong", "before_wrong", "plain_wrong", "covered", "found", "before_found", "tied"), 0)
    margin = Margin(MARGIN * scenario.sd, relative=False)

    def found(arms: list[Arm], *, now: bool = True) -> set[str]:
        scale = scenario.scale if now else Scale()
        pairs = verdicts(arms, margin, level=LEVEL, paired=now and scenario.paired, scale=scale)
        return {pair.verdict for pair in pairs}

    for _ in range(studies):
        arms, means = draw_study(random, scenario)
        now = found(arms)
        counts["wrong"] += bool(now & {"better", "worse"})
        counts["tied"] += "tie" in now
        before = found([as_before(arm) for arm in arms], now=False) if scenario.has_news else now
        counts["before_wrong"] += bool(before & {"better", "worse"})
        counts["plain_wrong"] += bool(found([untuned(arm) for arm in arms], now=False) & {"better", "worse"})
        interval = mean_interval(arms[0].values, LEVEL, scenario.scale)
        if interval.low is not None and interval.high is not None:
            counts["covered"] += interval.low <= means[0] <= interval.high
        ahead, _ = draw_study(random, replace(scenario, copies=2), gap)
        now = found(ahead)
        before = found([as_before(arm) for arm in ahead], now=False) if scenario.has_news else now
        counts["found"] += now == {"better"}
        counts["before_found"] += before == {"better"}
    return {name: count / studies for name, count in counts.items()}


def with_goal(rows: list[Report], studies: int) -> Report:
    """Return the rows with the outcome of the goal, which allows two standard errors of the simulation.

    The outcome is None if no row is held to the goal."""
    error = 2 * math.sqrt(0.05 * 0.95 / studies)
    judged, broken = [row for row in rows if has_goal(row)], []
    for row in judged:
        where = row["scenario"]
        if row["wrong"] > 1 - LEVEL + error:
            broken.append(f"{where}: {row['wrong']:.1%} false verdicts")
        beyond = abs(row["covered"] - LEVEL) > COVERAGE_TOLERANCE + error
        if beyond and not (row["share"] and row["covered"] > LEVEL):  # the least noise of shares may only widen
            broken.append(f"{where}: coverage {row['covered']:.1%}")
        if row["scenario"] in POWERFUL and row["found"] < POWER:
            broken.append(f"{where}: power {row['found']:.1%}")
    return {"rows": rows, "allowed": 1 - LEVEL + error, "broken": broken, "goal_holds": not broken if judged else None}


def has_goal(row: Report) -> bool:
    """Return True if a row is held to the goal."""
    return not row["scenario"].startswith(WITHOUT_GOAL)


def goal_lines(report: Report) -> list[str]:
    """Return the goal of the rows that are held to it, and its outcome."""
    judged = [row["scenario"] for row in report["rows"] if has_goal(row)]
    if not judged:
        return ["  * not held to the goal; no row here is"]
    powerful = [name for name in judged if name in POWERFUL]
    power = f"; power of at least {POWER:.0%} for {' and '.join(powerful)}" if powerful else ""
    outcome = "met" if report["goal_holds"] else f"not met: {'; '.join(report['broken'])}"
    apart = "" if len(judged) == len(report["rows"]) else "; * not held to it"
    return [
        f"  goal        at most {report['allowed']:.1%} false verdicts; coverage within 2 points of 95 %,",
        f"              of shares also more{power}",
        f"              of {len(judged)} rows{apart}: {outcome}",
    ]


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    names = [row["scenario"] + ("" if has_goal(row) else " *") for row in report["rows"]]
    rows = [
        f"  {name:<40}{row['wrong']:>8.1%}{row['before_wrong']:>8.1%}{row['plain_wrong']:>8.1%}"
        f"{row['covered']:>10.1%}{row['found']:>8.1%}{row['before_found']:>8.1%}{row['tied']:>8.1%}"
        for name, row in zip(names, report["rows"], strict=True)
    ]
    return [
        f"{report['studies']} simulated studies, {report['copies']} copies of one optimizer, "
        f"{report['trials']} trials, {report['surface']} surface",
        f"  {'':<40}{'false':>8}{'before':>8}{'plain':>8}{'coverage':>10}{'power':>8}{'before':>8}{'ties':>8}",
        *rows,
        "  false: studies that call identical optimizers better or worse; before: without what verdicts know of a",
        "  metric's values, pairs, tuning seeds and scrambles; plain: Welch's test without selection variance; power:",
        f"  studies that find a gap of {report['gap']:g} standard deviations; 5 final seeds unless named",
        *goal_lines(report),
    ]
