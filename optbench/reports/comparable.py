"""Decide which runs may be compared: refusals with their reason, and what was mixed on request.

Metrics may be compared across machines, times may not; unequal budgets, different data and different code are refused
(DESIGN, rules 2 and 8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from optbench.errors import ConfigError
from optbench.records import BUSY_SHARE
from optbench.reports.read.columns import RunRow

ROUNDING = 0.03  # share of a budget in evaluations that whole steps may miss it by
KINDS = ("hardware", "budgets", "data", "versions")


@dataclass(frozen=True)
class Comparability:
    """The comparability of a set of runs."""

    mixed: tuple[str, ...]
    """Differences that were mixed on request, a sentence each."""
    times: bool
    """True if times may be compared."""
    notes: tuple[str, ...]
    """Quantities left out instead of being mixed."""


def check(workload: str, runs: Iterable[RunRow], mix: Collection[str]) -> Comparability:
    """Check that the runs of one workload at one budget may be compared. Raises ConfigError for what `mix` lacks."""
    runs, mixed, notes = list(runs), [], []
    for kind, describe in (("data", data_of), ("budgets", budget_of), ("versions", version_of)):
        found = sorted({words for run in runs if (words := describe(run))})
        if len(found) < 2 or (kind == "budgets" and same_evaluations(runs)):
            continue
        what = f"{workload}: runs of different {kind}: {'; '.join(found[:4])}{'; ...' if len(found) > 4 else ''}"
        if kind not in mix:
            raise ConfigError(what, f"Report them separately, or add --mix {kind}; the report will say so")
        mixed.append(what)
    machines = sorted({run["hardware"] for run in runs if run["hardware"]})
    if len(machines) > 1 and "hardware" in mix:
        mixed.append(f"{workload}: times of different hardware: {'; '.join(machines)}")
    elif len(machines) > 1:
        notes.append(f"{workload}: times are left out, as the hardware differs ({'; '.join(machines)})")
    if any(run["shared"] for run in runs):
        notes.append(f"{workload}: runs shared a device, so their times are longer than alone")
    if waited := [share for run in runs if (share := run["core_wait_share"] or 0.0) > BUSY_SHARE]:
        notes.append(
            f"{workload}: {len(waited)} of {len(runs)} runs waited for a core, up to {max(waited):.0%} of their time, "
            "as other programs were busy: times are longer than alone"
        )
    return Comparability(tuple(mixed), len(machines) < 2 or "hardware" in mix, tuple(notes))


def check_tuning(
    workload: str, spent: Mapping[str, tuple[int, float]], mix: Collection[str], *, allowed: bool
) -> tuple[str, ...]:
    """Check that contenders had equal tuning budgets; return what was mixed, in words.

    `spent`: trials and samples through gradient evaluations by contender. `allowed`: the study allows unequal budgets.
    Raises ConfigError for unequal budgets without permission."""
    if not spent or nearly_equal([samples for _, samples in spent.values()]):
        return ()
    each = [f"{name} {trials} trials, {samples:,.0f} samples" for name, (trials, samples) in sorted(spent.items())]
    what = f"{workload}: unequal tuning: {'; '.join(each[:6])}{'; ...' if len(each) > 6 else ''}"
    if "budgets" not in mix and not allowed:
        raise ConfigError(what, "Tune all with the same budget, or add --mix budgets; the report will say so")
    return (what,)


def data_of(run: RunRow) -> str:
    """Return the start of the data's hash, empty if unknown."""
    return (run["data_sha256"] or "")[:12]


def budget_of(run: RunRow) -> str:
    """Return a run's planned budget in words, empty if unknown; runs that failed early had the same."""
    return f"{run['steps']:,} steps of {run['batch_size']:,}" if run["steps"] and run["batch_size"] else ""


def same_evaluations(runs: Iterable[RunRow]) -> bool:
    """Return True if runs have equal budgets in samples through gradient evaluations, as a sweep gives them.

    An optimizer with two evaluations a step takes half the steps; rounding to whole steps leaves a few percent."""
    found = []
    for run in runs:
        if budget_of(run):
            steps, evaluations = run["steps_done"], run["gradient_evaluations"]
            if not steps or not evaluations:
                continue  # failed in its first step
            found.append(run["steps"] * run["batch_size"] * evaluations / steps)
    return bool(found) and nearly_equal(found)


def nearly_equal(budgets: Sequence[float]) -> bool:
    """Return True if budgets differ by no more than rounding to whole steps."""
    return max(budgets) <= (1 + ROUNDING) * min(budgets)


def version_of(run: Mapping[str, object] | RunRow) -> str:
    """Return the versions of the code that trained a run."""
    commit = f" at {str(run['git_commit'])[:10]}" if run["git_commit"] else ""
    return f"optbench {run['optbench_version']}{commit}, torch {run['torch_version']}"


def check_kinds(mix: Iterable[str]) -> frozenset[str]:
    """Return the kinds that `--mix` names. Raises ConfigError for an unknown one."""
    wanted = frozenset(mix)
    for word in sorted(wanted - set(KINDS)):
        raise ConfigError(f"--mix: unknown kind {word!r}", f"Choose from {', '.join(KINDS)}")
    return wanted
