"""What may be compared with what: refusals with their reason, and what was mixed because it was asked for.

Metrics may be compared across machines, times may not; unequal budgets, other data and other code are refused
(DESIGN, rules 2 and 8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optbench.errors import ConfigError

Run = Mapping[str, Any]
ROUNDED = 0.03  # of a budget in evaluations, by which whole steps may miss it
KINDS = ("hardware", "budgets", "data", "versions")


@dataclass(frozen=True)
class Found:
    """What a set of runs has in common."""

    mixed: tuple[str, ...]
    """What was mixed on request, a sentence each."""
    times: bool
    """Whether times may be compared."""
    notes: tuple[str, ...]
    """What was left out instead of being mixed."""


def check(workload: str, runs: Iterable[Run], mix: Collection[str]) -> Found:
    """Whether the runs of one workload at one budget may stand beside each other. Raises ConfigError where they may not
    and nobody asked for it."""
    runs, mixed, notes = list(runs), [], []
    for kind, differ in (("data", data_of), ("budgets", budget_of), ("versions", version_of)):
        found = sorted({words for run in runs if (words := differ(run))})
        if len(found) < 2 or (kind == "budgets" and alike_in_evaluations(runs)):
            continue
        what = f"{workload}: runs of different {kind}: {'; '.join(found[:4])}{'; ...' if len(found) > 4 else ''}"
        if kind not in mix:
            raise ConfigError(what, f"Report them apart, or say --mix {kind}: the report will then say so")
        mixed.append(what)
    machines = sorted({run["hardware"] for run in runs if run["hardware"]})
    shared = any(run["shared"] for run in runs)
    if len(machines) > 1 and "hardware" in mix:
        mixed.append(f"{workload}: times of different hardware: {'; '.join(machines)}")
    elif len(machines) > 1:
        notes.append(f"{workload}: times are left out, as the hardware differs ({'; '.join(machines)})")
    if shared:
        notes.append(f"{workload}: runs shared a device, so their times are longer than alone")
    return Found(tuple(mixed), len(machines) < 2 or "hardware" in mix, tuple(notes))


def check_tuning(
    workload: str, spent: Mapping[str, tuple[int, float]], mix: Collection[str], *, allowed: bool
) -> tuple[str, ...]:
    """Whether contenders were tuned by equal budgets; what was mixed, in words. `spent`: for each contender its trials
    and their samples through gradient evaluations; `allowed`: the study was told to. Raises ConfigError where budgets
    differ and nobody asked for it."""
    if not spent or as_good_as_equal([samples for _, samples in spent.values()]):
        return ()
    each = [f"{name} {trials} trials, {samples:,.0f} samples" for name, (trials, samples) in sorted(spent.items())]
    what = f"{workload}: unequal tuning: {'; '.join(each[:6])}{'; ...' if len(each) > 6 else ''}"
    if "budgets" not in mix and not allowed:
        raise ConfigError(what, "Tune all with the same budget, or say --mix budgets: the report will then say so")
    return (what,)


def data_of(run: Run) -> str:
    """The data's hash."""
    return (run["data_sha256"] or "")[:12]


def budget_of(run: Run) -> str:
    """The budget of a run as it was asked for: a run that failed early had the same."""
    return f"{run['steps']:,} steps of {run['batch_size']:,}" if run["steps"] and run["batch_size"] else ""


def alike_in_evaluations(runs: Iterable[Run]) -> bool:
    """Whether runs have the same budget in samples through gradient evaluations, as a sweep gives it: what evaluates
    twice a step takes half the steps. Steps are whole numbers, which leaves a few in a hundred."""
    found = []
    for run in runs:
        if budget_of(run):
            done = run["samples"]
            if not done or not run["gradient_evaluations"]:
                continue  # failed in its first step
            found.append(run["steps"] * run["gradient_evaluations"] * run["batch_size"] ** 2 / done)
    return bool(found) and as_good_as_equal(found)


def as_good_as_equal(budgets: Sequence[float]) -> bool:
    """Whether budgets differ by no more than whole steps may miss them."""
    return max(budgets) <= (1 + ROUNDED) * min(budgets)


def version_of(run: Run) -> str:
    """The code that trained."""
    commit = f" at {run['git_commit'][:10]}" if run["git_commit"] else ""
    return f"optbench {run['optbench_version']}{commit}, torch {run['torch_version']}"


def check_kinds(mix: Iterable[str]) -> frozenset[str]:
    """The kinds that `--mix` names. Raises ConfigError for an unknown one."""
    asked = frozenset(mix)
    for word in sorted(asked - set(KINDS)):
        raise ConfigError(f"--mix {word}: there is nothing of this kind to mix", f"Known: {', '.join(KINDS)}")
    return asked
