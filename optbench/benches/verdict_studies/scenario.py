"""Simulated studies: copies of one optimizer, tuned and rerun."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from optbench.benches.verdict_studies.noise import NOISES
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.scale import REAL, SHARE, Scale

SURFACES = {"steep": (30.0, 600.0), "shallow": (3.0, 30.0)}
SAMPLES = 360  # of the test set of embedded digits
FURTHER_SEEDS = 2  # of a trial on the shortlist
LATENT_SD = 0.006  # of accuracies over seeds, beside the binomial noise


@dataclass(frozen=True)
class Scenario:
    """One kind of simulated study."""

    name: str
    noise: str = "normal"
    seeds: int = 5
    trials: int = 16
    copies: int = 2
    surface: str = "steep"
    tune_seeds: int = 1
    shortlist: int = 0
    """Trials that get two more seeds before the winner is chosen."""
    correlation: float = 0.0
    """Of the errors of two copies with the same seed."""
    ratio: float = 1.0
    """The second copy's standard deviation over the first one's."""
    failures: float = 0.0
    """Share of final runs without a result."""
    elsewhere: bool = False
    """Each copy has an optimum of its own."""
    scrambles: int = 1
    """Independent sets of points that the trials are dealt to in turn."""
    width: float = 1.0
    """Width of the second copy's box over that of the first one's, in the units of the surface."""
    accuracy: float | None = None
    """Accuracy at the optimum, of 360 samples; None: the metric is any number."""

    @property
    def paired(self) -> bool:
        """True if the design says that copies are compared by seed."""
        return self.correlation > 0

    @property
    def has_news(self) -> bool:
        """True if a contender has something that `as_before` leaves out."""
        return (
            self.paired or max(self.tune_seeds, self.scrambles) > 1 or self.shortlist > 0 or self.accuracy is not None
        )

    @property
    def scale(self) -> Scale:
        """The values of the metric."""
        return Scale(REAL) if self.accuracy is None else Scale(SHARE, SAMPLES)

    @property
    def sd(self) -> float:
        """Standard deviation of a run of the first copy at its optimum."""
        if self.accuracy is None:
            return 1.0
        return math.hypot(LATENT_SD, math.sqrt(self.accuracy * (1 - self.accuracy) / SAMPLES))


def draw_study(random: np.random.Generator, scenario: Scenario, gap: float = 0.0) -> tuple[list[Arm], list[float]]:
    """Return copies of one optimizer, tuned and rerun, and the true means of their winners.

    The first copy is ahead of the others by `gap` standard deviations of a run."""
    low, high = SURFACES[scenario.surface]
    steepness = math.exp(random.uniform(math.log(low), math.log(high)))
    optimum = random.uniform(0.2, 0.8, 2)
    seed = int(random.integers(2**32))
    common = NOISES[scenario.noise](random, (scenario.seeds,)) * math.sqrt(scenario.correlation)
    arms, means = [], []
    for number in range(scenario.copies):
        if scenario.elsewhere and number:
            optimum = random.uniform(0.2, 0.8, 2)
        width = scenario.width if number else 1.0
        sets = points_of(seed, scenario) - optimum
        truth = -steepness * (width**2) * (sets**2).sum(1) - (gap if number else 0.0)
        arm, mean = tuned(random, f"copy {number}", truth, common, scenario, scenario.ratio if number else 1.0)
        arms.append(arm)
        means.append(mean)
    return arms, means


def points_of(seed: int, scenario: Scenario) -> np.ndarray:
    """Return the points of a search (trials, 2): Sobol sequences with independent scrambles, in turn."""
    from scipy.stats import qmc

    each = -(-scenario.trials // scenario.scrambles)
    sets = [qmc.Sobol(2, rng=np.random.default_rng([seed, k])).random(each) for k in range(scenario.scrambles)]
    return np.array([sets[i % scenario.scrambles][i // scenario.scrambles] for i in range(scenario.trials)])


def tuned(
    random: np.random.Generator, name: str, truth: np.ndarray, common: np.ndarray, scenario: Scenario, sd: float
) -> tuple[Arm, float]:
    """Return one contender with true means `truth` of its trials, in standard deviations, and its winner's true
    metric."""

    def runs(means: np.ndarray) -> np.ndarray:
        return measured(random, means, NOISES[scenario.noise](random, means.shape) * sd, scenario)

    seeds = np.full(len(truth), scenario.tune_seeds)
    scores = runs(np.repeat(truth[:, None], scenario.tune_seeds, 1)).mean(1)
    candidates = np.argsort(scores)[-scenario.shortlist :] if scenario.shortlist else np.arange(len(truth))
    if scenario.shortlist:
        further = runs(np.repeat(truth[candidates, None], FURTHER_SEEDS, 1)).sum(1)
        seeds[candidates] += FURTHER_SEEDS
        scores[candidates] = (scores[candidates] * scenario.tune_seeds + further) / seeds[candidates]
    winner = int(candidates[scores[candidates].argmax()])
    own = NOISES[scenario.noise](random, common.shape) * math.sqrt(1 - scenario.correlation)
    finals = measured(random, np.full(common.shape, truth[winner]), (common + own) * sd, scenario)
    kept = np.flatnonzero(random.random(scenario.seeds) >= scenario.failures)
    scale = scenario.scale
    floor = scale.least_sd(float(finals[kept].mean())) if len(kept) else 0.0
    arm = Arm(
        name,
        tuple(finals[kept].tolist()),
        failed=scenario.seeds - len(kept),
        scores=tuple(scores.tolist()),
        winner=winner,
        seeds=tuple(kept.tolist()),
        floor=floor,
        score_floor=floor,
        score_seeds=tuple(seeds.tolist()),
        groups=tuple(i % scenario.scrambles for i in range(scenario.trials)),
    )
    return arm, float(expected(truth[winner : winner + 1], scenario)[0])


def expected(means: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Return the expected metric of runs, given their means in standard deviations."""
    if scenario.accuracy is None:
        return means
    return np.clip(scenario.accuracy + scenario.sd * means, 0.05, 0.9995)


def measured(random: np.random.Generator, means: np.ndarray, errors: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Return the metric of runs. A share is binomial around an accuracy that varies with the seed, beta distributed by
    its error's rank."""
    if scenario.accuracy is None:
        return means + errors
    from scipy.special import betaincinv, ndtr

    share = expected(means, scenario)
    size = np.maximum(share * (1 - share) / LATENT_SD**2 - 1, 2.0)
    latent = betaincinv(share * size, (1 - share) * size, ndtr(errors))
    return random.binomial(SAMPLES, np.clip(latent, 0, 1)) / SAMPLES


def as_before(arm: Arm) -> Arm:
    """Return a contender as verdicts knew it before: no least noise, pairs, tuning seeds or scrambles."""
    return Arm(arm.name, arm.values, arm.failed, arm.scores, arm.winner)


def untuned(arm: Arm) -> Arm:
    """Return a contender without its tuning."""
    return replace(as_before(arm), scores=(), winner=None)
