"""verdict.json: the published verdict on a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

SCHEMA = 1
FILE = "verdict.json"


class EstimateDocument(TypedDict):
    """An estimate with its interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class StandingDocument(TypedDict):
    """A contender over all workloads; costs relative to the reference's."""

    contender: str
    iqm: EstimateDocument
    """The score over workloads. The key is from when it was always an interquartile mean."""
    mean_rank: EstimateDocument
    first: float | None
    """P(best) by this score."""
    ranks: dict[str, Sequence[int]]
    weakest: str
    """The workload of the least score."""
    minimum: float | None
    """That score."""
    by_workload: dict[str, float]
    equivalent: EstimateDocument
    """Reference-equivalent budget over its own, geometric mean over workloads."""
    equivalent_bound: str
    """`at least` or `at most` if it is a bound."""
    regret_at_defaults: float | None
    failed: int
    speed: float | None
    state: float | None


class EvidenceDocument(TypedDict, total=False):
    """The evidence for a criterion at one place, as far as it is read."""

    where: str
    holds: bool | None
    words: str
    low: float | None
    high: float | None
    n: int | None


class DecidedAgain(TypedDict):
    """When and from what a published claim was decided again."""

    date: str
    source: str
    before: str
    """The verdict that was published first."""
    optbench: str


class CriterionDocument(TypedDict, total=False):
    """A criterion with its verdict, as far as it is read."""

    text: str
    statement: str
    holds: bool | None
    verdict: str
    words: str
    evidence: list[EvidenceDocument]
    control: bool


class VerdictDocument(TypedDict, total=False):
    """verdict.json."""

    schema: int
    slug: str
    scale: str | None
    title: str
    claim: object
    """`claim:` of the study file."""
    verdict: str
    holds: bool | None
    sentence: str
    seeds: int | None
    few_seeds: bool
    criteria: list[CriterionDocument]
    standings: list[StandingDocument]
    held_equal: str
    """The settings that all contenders had alike, in words."""
    level: float
    interval_level: float | None
    """Of the criteria's intervals; higher where several comparisons are corrected. Absent from old files: `level`."""
    device: str
    precision: list[str]
    versions: dict[str, list[str]]
    git_commits: list[str]
    runs: dict[str, int]
    run_seconds: float
    mixed: list[str]
    date: str | None
    """The day on which the last run ended."""
    again: DecidedAgain
    """Only for a claim that was decided again from its stored runs."""
    command: str


REQUIRED = ("slug", "title", "verdict", "criteria")


def folder_name(slug: str, scale: str | None) -> str:
    """Return the name of the folder that a verdict is published in."""
    return f"{slug}-{scale}" if scale else slug
