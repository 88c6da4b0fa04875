"""Whether verdicts are right about how sure they are: simulated studies, tuning and selection of the winner included.

Each study tunes copies of one optimizer at the same Sobol points, one noisy score a trial, reruns each winner on fresh
seeds and asks for the verdict. The metric falls off quadratically from an optimum somewhere in a box of two dimensions;
going from the optimum across the box costs 30 to 600 standard deviations of a run. Sweeps of three optimizers on
`model=mlp,logreg` showed about that (four trials each: the worst lay 14 to 212 standard deviations of a final run below
the best). `surface=shallow` takes 3 to 30.

A against A: how often the verdict is better or worse. Power: the same with one of them better by `gap` standard
deviations. Coverage: how often the interval of a tuned mean holds it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.statistics.verdicts import Margin, verdicts

log = logging.getLogger(__name__)

SETTINGS = {"studies": 2000, "trials": 16, "gap": 3.0, "copies": 2, "surface": "steep", "draw": 0}
"""What the command line may say; `copies` of one optimizer are compared pair by pair, `draw` seeds the simulation."""
SURFACES = {"steep": (30.0, 600.0), "shallow": (3.0, 30.0)}
SEEDS = (3, 5, 10)
LEVEL, OFF = 0.95, 0.02
POWER, POWER_SEEDS = 0.8, 5
LOG_SD = 0.75  # of the lognormal noise: skewness 3.3
MARGIN = Margin(0.5, relative=False)  # half a standard deviation does not matter


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal."""
    return random.standard_normal(shape)


def student(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Student's t with three degrees of freedom, of variance 1."""
    return random.standard_t(3, shape) / math.sqrt(3)


def lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Lognormal, of mean 0 and variance 1."""
    mean = math.exp(LOG_SD**2 / 2)
    return (random.lognormal(0, LOG_SD, shape) - mean) / (mean * math.sqrt(math.exp(LOG_SD**2) - 1))


NOISES = {"normal": normal, "t3": student, "lognormal": lognormal}
HELD = ("normal", "t3")  # the others are reported


def measure(
    config: RunConfig,
    studies: int = 2000,
    trials: int = 16,
    gap: float = 3.0,
    copies: int = 2,
    surface: str = "steep",
    draw: int = 0,
) -> dict[str, Any]:
    """Rates of wrong verdicts, coverage and power by noise and number of seeds."""
    if surface not in SURFACES:
        raise ConfigError(f"surface={surface}: there is no such surface", f"Known: {', '.join(SURFACES)}")
    found = []
    for name, noise in NOISES.items():
        for n in SEEDS:
            random = np.random.default_rng([draw, n])
            found.append({"errors": name, "seeds": n, **rates(random, noise, n, studies, trials, gap, copies, surface)})
            log.info(f"{name}, {n} seeds: done")
    return {
        "studies": studies,
        "trials": trials,
        "copies": copies,
        "gap": gap,
        "surface": surface,
        **judged(found, studies),
    }


def rates(
    random: np.random.Generator,
    noise: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray],
    seeds: int,
    studies: int,
    trials: int,
    gap: float,
    copies: int,
    surface: str,
) -> dict[str, Any]:
    """Of so many studies: false verdicts, those that a plain Welch test would give, coverage, power."""
    wrong = plain = held = right = ties = 0
    for _ in range(studies):
        arms, means = study(random, noise, seeds, trials, copies, surface)
        pairs = verdicts(arms, MARGIN, level=LEVEL)
        wrong += any(pair.verdict in ("better", "worse") for pair in pairs)
        ties += any(pair.verdict == "tie" for pair in pairs)
        untuned = [Arm(arm.name, arm.values) for arm in arms]
        plain += any(pair.verdict in ("better", "worse") for pair in verdicts(untuned, MARGIN, level=LEVEL))
        interval = mean_interval(arms[0].values, LEVEL)
        held += interval.low <= means[0] <= interval.high  # type: ignore[operator]
        ahead = raised(arms[0], gap)
        right += verdicts([ahead, arms[1]], MARGIN, level=LEVEL)[0].verdict == "better"
    counts = {"wrong": wrong, "plain_wrong": plain, "covered": held, "found": right, "tied": ties}
    return {name: count / studies for name, count in counts.items()}


def study(
    random: np.random.Generator,
    noise: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray],
    seeds: int,
    trials: int,
    copies: int,
    surface: str,
) -> tuple[list[Arm], list[float]]:
    """Copies of one optimizer, tuned and rerun, and their true means."""
    from scipy.stats import qmc

    steepness = math.exp(random.uniform(*np.log(SURFACES[surface])))
    optimum = random.uniform(0.2, 0.8, 2)
    points = qmc.Sobol(2, rng=random).random(trials)
    truth = -steepness * ((points - optimum) ** 2).sum(1)
    arms, means = [], []
    for number in range(copies):
        scores = truth + noise(random, (trials,))
        winner = int(scores.argmax())
        finals = truth[winner] + noise(random, (seeds,))
        arms.append(Arm(f"copy {number}", tuple(finals.tolist()), scores=tuple(scores.tolist()), winner=winner))
        means.append(float(truth[winner]))
    return arms, means


def raised(arm: Arm, gap: float) -> Arm:
    """The same optimizer, better by so much everywhere."""
    return Arm(
        arm.name,
        tuple(v + gap for v in arm.values),
        scores=tuple(s + gap for s in arm.scores if s is not None),
        winner=arm.winner,
    )


def judged(found: list[dict[str, Any]], studies: int) -> dict[str, Any]:
    """The figures with what is asked of them; two standard errors of the simulation are allowed for."""
    error = 2 * math.sqrt(0.05 * 0.95 / studies)
    broken = []
    for row in found:
        where = f"{row['errors']}, {row['seeds']} seeds"
        if row["errors"] in HELD and row["wrong"] > 1 - LEVEL + error:
            broken.append(f"{where}: {row['wrong']:.1%} wrong verdicts")
        if row["errors"] in HELD and abs(row["covered"] - LEVEL) > OFF + error:
            broken.append(f"{where}: coverage {row['covered']:.1%}")
        if row["errors"] in HELD and row["seeds"] == POWER_SEEDS and row["found"] < POWER:
            broken.append(f"{where}: power {row['found']:.1%}")
    return {"rows": found, "allowed": 1 - LEVEL + error, "broken": broken, "goal_holds": not broken}


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    head = f"{found['studies']} studies, {found['copies']} copies of one optimizer, {found['trials']} trials"
    rows = [
        f"  {row['errors']:<10}{row['seeds']:>6}{row['wrong']:>13.1%}{row['plain_wrong']:>17.1%}"
        f"{row['covered']:>11.1%}{row['found']:>9.1%}"
        for row in found["rows"]
    ]
    verdict = "holds" if found["goal_holds"] else "; ".join(found["broken"])
    return [
        f"{head}, {found['surface']} surface",
        f"  {'errors':<10}{'seeds':>6}{'A against A':>13}{'without tuning':>17}{'coverage':>11}{'power':>9}",
        *rows,
        "  A against A: studies with a wrong better or worse; without tuning: the same, of a test that does not know",
        f"  of the selection; power: a gap of {found['gap']:g} standard deviations is found",
        f"  goal        for normal and t3: at most {found['allowed']:.1%} wrong, coverage within 2 points, power 80 %",
        f"              at {POWER_SEEDS} seeds: {verdict}",
    ]
