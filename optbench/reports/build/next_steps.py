"""What to type next: the command that finishes a study, or that would decide what it leaves open."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.records import Status
from optbench.reports.contenders import DONE, OPEN
from optbench.reports.model.content import Failure, NextStep, Pair, Workload
from optbench.reports.model.numbers import counted
from optbench.reports.model.overview import nobody_trained
from optbench.reports.read.columns import RunRow
from optbench.reports.statistics.difference import POINTS
from optbench.reports.statistics.verdicts import UNDECIDED

if TYPE_CHECKING:
    from optbench.reports.read.reading import Results

OPTIONS = {  # setting of a study: the option of `optbench sweep` that sets it
    "trials": "--trials",
    "tune_seeds": "--tune-seeds",
    "shortlist": "--shortlist",
    "shortlist_seeds": "--shortlist-seeds",
    "seeds": "--seeds",
    "sampler": "--sampler",
    "search_seed": "--search-seed",
    "pruner": "--pruner",
    "budgets": "--budgets",
    "extend_edges": "--extend-edges",
    "allow_unequal": "--allow-unequal",
    "recipes": "--recipes",
    "box": "--box",
}
PLAIN_KEYS = (
    "optimizer",
    "model",
    "data",
    "init",
    "freeze",
    "steps",
)  # of plain runs, that a sweep over them would have
LONGER = 4  # times the steps, where nobody learned
MORE_POINTS, MORE_SEEDS = (
    2,
    3,
)  # times the points, or the seeds that choose a winner, where final seeds would not decide
MENDABLE = {Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT}


def next_steps(results: Results, workloads: Sequence[Workload], failures: Sequence[Failure]) -> tuple[NextStep, ...]:
    """Return the commands, the most urgent first. Nothing for runs of several studies."""
    if len({run["study"] for run in results.runs}) != 1:
        return ()
    study = next(iter(results.studies.values()), None)
    if study is None or not study["settings"]:
        return of_plain_runs(results)
    return tuple(of_study(Command(results, study["settings"]), results, workloads, failures))


def of_study(
    command: Command, results: Results, workloads: Sequence[Workload], failures: Sequence[Failure]
) -> Iterator[NextStep]:
    """Yield the steps of a study."""
    (study,) = results.studies.values()
    still = sum(run["status"] == OPEN for run in results.runs)
    if still or any(cell.get("stage", DONE) != DONE for cell in study["cells"]):
        yield NextStep("The study is not finished; the same command continues it.", command.line())
        return
    again = sorted({failure.status for failure in failures} & {str(status) for status in MENDABLE})
    if again:
        yield NextStep("Some runs failed for reasons that may pass.", command.line(retry=",".join(again)))
    idle = [one for one in workloads if nobody_trained(one)]
    if idle:
        if any("steps" in (run["unread"] or ()) for run in results.runs):
            return  # a script that goes by its own number of steps
        steps = LONGER * max(one.steps or 0 for one in idle)
        where = "" if len(idle) == len(workloads) else f" on {', '.join(one.name for one in idle)}"
        yield NextStep(f"Nobody is shown to have learned anything{where}: train longer.", command.longer(steps))
        return
    if any(row.edges for one in workloads for row in one.rows) and not command.settings.get("extend_edges"):
        wider = command.line(extend_edges=True)
        yield NextStep("Best values lie on an edge: search beyond it, equally for all.", wider)
    yield from deciding(command, workloads)


def deciding(command: Command, workloads: Sequence[Workload]) -> Iterator[NextStep]:
    """Yield what would decide who is best, where that is open."""
    needed = [pair for one in workloads for pair in undecided(one)]
    known = [pair.more_seeds for pair in needed if pair.more_seeds is not None]
    if known and len(known) == len(needed):
        seeds = max(run_count(one) for one in workloads) + max(known)
        reason = f"{counted(max(known), 'more seed')} for each would decide who is best."
        yield NextStep(reason, command.line(seeds=seeds))
    elif remedies := {pair.remedy for pair in needed if pair.remedy}:
        start = "More final seeds alone would not decide who is best:"
        if POINTS in remedies:
            yield NextStep(f"{start} search more points.", command.line(trials=command.times("trials", MORE_POINTS)))
            return
        if command.settings.get("shortlist"):
            line = command.line(shortlist_seeds=command.times("shortlist_seeds", MORE_SEEDS))
        else:
            line = command.line(tune_seeds=command.times("tune_seeds", MORE_SEEDS))
        yield NextStep(f"{start} choose the winners by more tuning seeds.", line)


def undecided(workload: Workload) -> list[Pair]:
    """Return the open comparisons with the best contender. Who has no result, did not train or is undertuned needs
    something else first."""
    ready = [row.contender for row in workload.rows if row.values and row.trained is not False]
    left = [one for one in workload.pairs if one.verdict == UNDECIDED and not one.undertuned]
    return [one for one in left if {one.a, one.b} <= set(ready) and ready[0] in (one.a, one.b)]


def run_count(workload: Workload) -> int:
    """Return the most final seeds that a contender has."""
    return max((len(row.values) + row.failed for row in workload.rows), default=0)


ONLY_IN_FILES = ("claim", "boxes", "parts", "more_budgets", "include_default", "scale", "title")
"""Settings that a command line cannot say."""


class Command:
    """The command line that makes a study again."""

    def __init__(self, results: Results, settings: Mapping[str, object]) -> None:
        self.settings = settings
        self.place = place_of(results.root)
        self.name = str(settings.get("name") or next(iter(results.studies)))

    def line(self, retry: str = "", **changes: object) -> str:
        """Return the command with some settings changed."""
        words = [*self.what(), "--study", self.name, *self.given(changes), *self.place]
        return command_of(*words, *(["--retry", retry] if retry else []))

    def times(self, key: str, factor: int) -> int:
        """Return so many times what a setting is."""
        now = self.settings.get(key)
        return factor * (now if isinstance(now, int) else 1)

    def longer(self, steps: int) -> str:
        """Return the command of another study that trains for so many steps."""
        words = [word for word in self.what() if not word.startswith("steps=")]
        return command_of(*words, f"steps={steps}", *self.given({}), *self.place)

    def what(self) -> list[str]:
        """Return what is swept: the study's file with its scale, or its overrides."""
        if not any(self.settings.get(key) for key in ONLY_IN_FILES):
            overrides = self.settings.get("overrides")
            return list(map(str, overrides)) if isinstance(overrides, (list, tuple)) else []
        scale = str(self.settings.get("scale") or "")
        return [study_file(self.name.removesuffix(f"-{scale}")), *(["--scale", scale] if scale else [])]

    def given(self, changes: Mapping[str, object]) -> Iterator[str]:
        """Yield the options: what differs from the protocol, unless the study's file has it, and the changes."""
        defaults, protocol = self.defaults()
        from_file = self.what()[:1] != [] and self.what()[0].endswith(".yaml")
        if protocol != "default" and not from_file:
            yield from ("--protocol", protocol)
        for key, option in OPTIONS.items():
            value = changes.get(key, self.settings.get(key))
            if key in changes or (not from_file and key in self.settings and value != defaults.get(key)):
                yield from written(option, value)

    def defaults(self) -> tuple[Mapping[str, object], str]:
        """Return what the study's protocol sets, and its name."""
        from optbench.config.files import find_option, packaged_folder, read_yaml

        name = str(self.settings.get("protocol") or "default")
        files = [find_option((packaged_folder(),), "protocol", one) for one in ("default", name)]
        return {key: value for file in files if file for key, value in read_yaml(file).items()}, name


def written(option: str, value: object) -> list[str]:
    """Return an option with its value."""
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, (list, tuple)):
        return [option, ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)]
    return [option, str(value)]


def study_file(name: str) -> str:
    """Return the study file of a published claim, else a placeholder."""
    from optbench.config.files import packaged_folder

    known = (packaged_folder().parent / "experiments" / name / "study.yaml").is_file()
    return f"experiments/{name}/study.yaml" if known else "STUDY.yaml"


def of_plain_runs(results: Results) -> tuple[NextStep, ...]:
    """Return the sweep over what was run by hand, which tunes all contenders equally."""
    words = [f"{key}={','.join(values)}" for key in PLAIN_KEYS if (values := typed(results.runs, key))]
    if not words:
        return ()
    reason = "Nothing was tuned here: a sweep tunes all with the same budget and reruns each on fresh seeds."
    return (NextStep(reason, command_of(*words, *place_of(results.root))),)


def typed(runs: Sequence[RunRow], key: str) -> list[str]:
    """Return the values of a key that runs were given on their command lines, in order."""
    words = (word.partition("=") for run in runs for word in run["overrides"] or ())
    return list(dict.fromkeys(value for name, _, value in words if name == key))


def command_of(*words: str) -> str:
    """Return `optbench sweep` with these words, as a shell reads it."""
    return " ".join(["optbench sweep", *map(shlex.quote, words)])


def place_of(root: Path) -> list[str]:
    """Return the option that names a results folder, nothing for the usual one."""
    from optbench.store import results_root

    if root == Path(os.path.abspath(results_root(None))):
        return []
    near = root.is_relative_to(Path.cwd())
    return ["--results-dir", str(root.relative_to(Path.cwd()) if near else root)]
