"""The shortlist: the best trials of a cell get further seeds before one of them is chosen.

The best of many single runs is partly the luckiest one. Three trials with three seeds each halve the regret of the
choice on steep surfaces, at the cost of six runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from optbench.sweeps.study.study import Study


class Scored(Protocol):
    """A trial of a cell."""

    @property
    def number(self) -> int:
        """Its number."""
        ...

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of what is searched."""
        ...

    @property
    def score(self) -> float | None:
        """The mean over its seeds, larger is better; None if a run did not succeed."""
        ...

    @property
    def seeds(self) -> int:
        """The seeds that it has or will have."""
        ...


@dataclass(frozen=True)
class ScoredTrial:
    """A trial that was read from a file. `score`: larger is better."""

    number: int
    values: Mapping[str, Any]
    score: float | None
    seeds: int


T = TypeVar("T", bound=Scored)


def next_shortlist(trials: Sequence[T], study: Study) -> list[T]:
    """Return the trials that get further seeds now: the best ones of different values without any so far."""
    taken = [trial.values for trial in trials if trial.seeds > study.tune_seeds]
    chosen: list[T] = []
    scored = [(-trial.score, trial.number, trial) for trial in trials if trial.score is not None]
    for _, _, trial in sorted(scored, key=lambda entry: entry[:2]):
        if trial.values not in taken and len(chosen) < study.shortlisted:
            taken.append(trial.values)
            chosen.append(trial)
    return chosen


def best_trial(trials: Iterable[T]) -> T | None:
    """Return the trial with the best score among those with the most seeds, else among the rest; the first of equals.

    None if no trial has a score."""
    scored = [(trial.seeds, trial.score, -trial.number, trial) for trial in trials if trial.score is not None]
    return max(scored, key=lambda entry: entry[:3])[3] if scored else None
