"""From tables of runs to a report: which runs are compared, and every section of every workload."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optbench.errors import NoResultsError
from optbench.report.answers import answer, warnings
from optbench.report.comparable import check
from optbench.report.contenders import OPEN, PRUNED, cells_of, contenders_of, headline_of, succeeded
from optbench.report.content import Failure, Report, RunDetail, Workload
from optbench.report.leaderboard import ranked, row
from optbench.report.statistics.verdicts import DEFAULT_MARGIN, Margin, parse_margin, verdicts

if TYPE_CHECKING:
    from optbench.report.reading import Results

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """How a report is to be made."""

    level: float = 0.95
    margin: Margin = field(default_factory=lambda: parse_margin(DEFAULT_MARGIN))
    mix: frozenset[str] = frozenset()
    command: str = "optbench report"


def build(results: Results, asked: Asked) -> Report:
    """The report of everything that was read. Raises NoResultsError where no run has ended, ConfigError where runs must
    not be compared."""
    from optbench import __version__

    runs = results.runs
    ended = [run for run in runs if run["status"] != OPEN]
    if not ended:
        raise NoResultsError(f"{results.root}: none of {len(runs)} runs has ended yet")
    cells = cells_of(results.studies)
    made = [workload(name, group, cells, asked) for name, group in grouped(runs).items()]
    return Report(
        title=", ".join(sorted({run["study"] for run in runs})),
        studies=tuple(sorted({run["study"] for run in runs})),
        made_with=f"optbench {__version__}",
        command=asked.command,
        answer=tuple(line for found, _, _ in made for line in found.answer),
        assumptions=(*assumptions(asked), *(note for _, _, notes in made for note in notes)),
        mixed=tuple(line for _, lines, _ in made for line in lines),
        level=asked.level,
        workloads=tuple(found for found, _, _ in made),
        across=None,
        runs=tuple(detail(run) for run in runs),
        failures=tuple(failure(run) for run in ended if run["status"] != PRUNED and not succeeded(run)),
        skipped=tuple(results.skipped),
        open_runs=len(runs) - len(ended),
    )


def grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by workload, in the order of their names."""
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run["workload"], run["run_id"])):
        found.setdefault(run["workload"], []).append(run)
    return found


def workload(
    name: str, runs: Sequence[Run], cells: Mapping[tuple[str, str], Mapping[str, Any]], asked: Asked
) -> tuple[Workload, tuple[str, ...], tuple[str, ...]]:
    """One workload at its full budget, what was mixed in it, and what was left out."""
    budgets = sorted({run["budget"] or 1.0 for run in runs})
    full = [run for run in runs if (run["budget"] or 1.0) == budgets[-1]]
    fit = check(name, full, asked.mix)
    known = next((run for run in full if run["metric"]), None)
    direction = known["direction"] if known else "max"
    sign = 1.0 if direction == "max" else -1.0
    contenders = contenders_of(full, cells)
    headline = headline_of(contenders)
    contenders = ranked(contenders, headline, sign)
    arms = [contender.arm(headline, sign) for contender in contenders]
    pairs = verdicts(arms, asked.margin, level=asked.level, sign=sign)
    rows = [row(c, headline, pairs, len(contenders) - 1, sign, asked.level) for c in contenders]
    metric = known["metric"] if known else "metric"
    found = Workload(
        name=name,
        metric=metric,
        direction=direction,
        headline=headline,
        target=next((run["target"] for run in full if run["target"] is not None), None),
        steps=full[0]["steps"],
        batch_size=full[0]["batch_size"],
        budgets=tuple(budgets),
        answer=answer(name, metric, rows, pairs, asked.level),
        warnings=warnings(rows, len({r.trials for r in rows}) > 1),
        rows=tuple(rows),
        pairs=tuple(pairs),
    )
    return found, fit.mixed, fit.notes


def assumptions(asked: Asked) -> list[str]:
    """How the numbers are made, a sentence each."""
    margin = (
        f"{asked.margin.amount:.3g}" if not asked.margin.relative else f"{asked.margin.amount:.3g} of the better mean"
    )
    return [
        "Optimizers are compared at the end of a complete schedule, on fresh seeds that tuning has not seen.",
        "Validation chose the hyperparameters; test is reported.",
        f"Intervals of means are Student's t at {asked.level:.0%}; those of differences hold for all pairs at once.",
        "Differences are tested by Welch's t with the variance that the selection of the winners adds, at the points "
        "that were searched; p-values are corrected by Holm over the pairs of a workload.",
        f"A tie is a difference that is shown to be smaller than {margin}.",
        "A failed seed counts as worse than any that has a result.",
    ]


def detail(run: Run) -> RunDetail:
    """One run, with the command that reproduces it."""
    words = " ".join(shlex.quote(word) for word in run["overrides"] or ())
    return RunDetail(
        run_id=run["run_id"],
        study=run["study"],
        workload=run["workload"],
        contender=run["contender"],
        stage=run["stage"],
        trial=run["trial"],
        seed=run["seed"],
        budget=run["budget"],
        status=run["status"],
        reason=run["reason"] or "",
        val=run["val"],
        test=run["test"],
        train_seconds=run["train_seconds"],
        hardware=run["hardware"] or "",
        command=f"optbench run {words}".strip(),
        config=json.loads(run["config"]) if run["config"] else {},
        folder=run["folder"],
    )


def failure(run: Run) -> Failure:
    """One run without a result."""
    return Failure(
        run_id=run["run_id"],
        contender=run["contender"],
        workload=run["workload"],
        stage=run["stage"],
        status=run["status"],
        reason=run["reason"] or "",
        folder=run["folder"],
    )
