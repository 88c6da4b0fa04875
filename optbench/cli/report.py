"""`optbench report`, and `optbench compare`: one verdict between two, with its evidence, and an exit code for CI."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice
from optbench.errors import ConfigError, NoResultsError, NotHeld, suggest
from optbench.store import results_root

if TYPE_CHECKING:
    from optbench.reports.build.workload import Asked
    from optbench.reports.model.content import Report, Workload

DEFAULT_OUTPUT = Path("report")
ASSERTION = re.compile(r"^\s*(.+?)\s*(>=|<=|==|>|<)\s*(.+?)\s*$")
ALLOWED = {
    ">": ("better",),
    "<": ("worse",),
    ">=": ("better", "tie"),
    "<=": ("worse", "tie"),
    "==": ("tie",),
}


@dataclass(frozen=True)
class Wanted:
    """What `optbench report` was asked for."""

    margin: str
    mix: Sequence[str]
    reference: str
    level: float
    output: Path | None
    only: Sequence[str]
    wandb: str | None
    text: bool
    as_json: bool
    command: str


def report(path: Path | None, wanted: Wanted, notice: Notice, emit: Emit) -> None:
    """`optbench report [RESULTS] [-o FOLDER]`: written files, or on stdout alone with --text or --json."""
    from optbench.reports.build.report import build
    from optbench.reports.read.reading import read
    from optbench.reports.render.terminal import print_report
    from optbench.reports.render.write import tree_of

    asked = asked_of(wanted)
    results = read(source(path, wanted, notice))
    made = build(results, asked)
    for path_skipped, reason in made.skipped:
        notice(f"left out: {path_skipped}: {reason}")
    files: list[Path] = []
    if wanted.output is not None or not (wanted.text or wanted.as_json):
        files = written(made, wanted, results.root)
    if wanted.text or wanted.as_json:
        emit(wanted.as_json, tree_of(made) if wanted.as_json else None, lambda: print_report(made))
    else:
        say("\n".join(first_lines(made, files)))


def source(path: Path | None, wanted: Wanted, notice: Notice) -> Path:
    """The folder that is read; with --wandb that of the runs that are fetched."""
    from optbench.reports.read.from_wandb import fetch

    if wanted.wandb is None:
        return path or results_root(None)
    if path is not None:
        raise ConfigError(f"--wandb {wanted.wandb} and {path}: one of them")
    return fetch(wanted.wandb, results_root(None), notice)


def watch(path: Path | None, wanted: Wanted, every: float, notice: Notice) -> None:
    """`optbench report --watch`: the files again whenever something has changed, until the study ends or Ctrl-C."""
    from optbench.reports.build.report import build
    from optbench.reports.read.reading import read
    from optbench.reports.watch import changes, has_ended

    if every <= 0:
        raise ConfigError(f"--every {every:g}: expected seconds above 0")
    if wanted.wandb is not None:
        raise ConfigError("--watch and --wandb: only a results folder can be watched")
    asked, root, said = asked_of(wanted), path or results_root(None), ""
    try:
        for _ in changes(root, every):
            try:
                results = read(root)
                made = build(results, asked)
            except NoResultsError as error:
                words, ended = str(error), False
            else:
                ended = has_ended(results)
                files = written(made, wanted, results.root, refresh=None if ended else max(1, round(every)))
                words = "\n".join(first_lines(made, files))
            if words != said:
                say(words)
            said = words
            if ended:
                return
    except KeyboardInterrupt:
        notice("stopped watching; the last report stays")


def written(made: Report, wanted: Wanted, root: Path, refresh: int | None = None) -> list[Path]:
    """The files of a report."""
    from optbench.reports.render.write import KINDS, write_report

    folder = wanted.output or DEFAULT_OUTPUT
    return write_report(made, folder, root=root, kinds=wanted.only or KINDS, refresh=refresh)


def say(words: str) -> None:
    """Print, in what signs stdout can write."""
    from optbench.reports.render.terminal import fitting

    print(fitting(words, sys.stdout.encoding or "ascii"), flush=True)


def asked_of(wanted: Wanted) -> Asked:
    """How the report is to be made. Raises ConfigError."""
    from optbench.reports.build.workload import Asked
    from optbench.reports.comparable import check_kinds
    from optbench.reports.render.write import check_kinds as check_outputs
    from optbench.reports.statistics.verdicts import parse_margin

    check_outputs(wanted.only)
    if not 0.5 <= wanted.level < 1:
        raise ConfigError(f"--level {wanted.level:g}: expected a confidence from 0.5 to below 1, e.g. 0.95")
    return Asked(
        level=wanted.level,
        margin=parse_margin(wanted.margin),
        mix=check_kinds(wanted.mix),
        command=wanted.command,
        reference=wanted.reference,
    )


def first_lines(made: Report, files: Sequence[Path]) -> list[str]:
    """The answer, and where the rest is."""
    from optbench.reports.render.terminal import clean

    found = [clean(line) for line in (*made.answer, *(made.across.answer if made.across else ()))]
    found += [clean(made.claim.sentence)] if made.claim else []
    found += [clean(f"mixed on request: {line}") for line in made.mixed]
    found += [f"{made.open_runs} runs have not ended yet"] if made.open_runs else []
    shown = [path for path in files if path.suffix in (".html", ".md", ".json")]
    others = len(files) - len(shown)
    written = ", ".join(map(str, shown)) + (f" and {others} tables and figures" if others else "")
    return [*found, f"written: {written}"]


def compare(
    a: str,
    b: str,
    path: Path | None,
    *,
    margin: str,
    mix: Sequence[str],
    asserted: str | None,
    as_json: bool,
    notice: Notice,
    emit: Emit,
) -> None:
    """`optbench compare A B [RESULTS]`. Raises NotHeld (exit 3) where an assertion is refused."""
    from dataclasses import replace

    from optbench.reports.build.report import build
    from optbench.reports.build.workload import Asked
    from optbench.reports.comparable import check_kinds
    from optbench.reports.read.reading import names, read
    from optbench.reports.statistics.verdicts import parse_margin

    checked = parse_assertion(asserted, a, b) if asserted else None
    asked = Asked(margin=parse_margin(margin), mix=check_kinds(mix), records=False)
    results = read(path or results_root(None))
    for path_skipped, reason in results.skipped:
        notice(f"left out: {path_skipped}: {reason}")
    for name in (a, b):
        check_name(name, names(results.runs))
    chosen = tuple(run for run in results.runs if run["contender"] in (a, b))
    report = build(replace(results, runs=chosen), asked)
    both = [found for found in report.workloads if {row.contender for row in found.rows} == {a, b}]
    if not both:
        raise NoResultsError(f"{a} and {b} have no workload in common")
    tree = {
        "a": a,
        "b": b,
        "workloads": [workload_tree(found, a) for found in both],
        "assumptions": list(report.assumptions),
        "mixed": list(report.mixed),
    }
    emit(as_json, tree, lambda: say("\n".join(lines(both, report.assumptions, report.mixed))))
    if checked:
        refuse(checked, [(found.name, word) for found, word in zip(both, verdicts_of(both, a), strict=True)])


def check_name(name: str, known: Sequence[str]) -> None:
    """NoResultsError for a contender that has no runs."""
    if name in known:
        return
    raise NoResultsError(f"{name}: no run of it", suggest(name, known))


def parse_assertion(text: str, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    """An assertion on the two that are compared: its text and the verdicts of a that it allows."""
    match = ASSERTION.match(text)
    if not match:
        raise ConfigError(f"--assert {text}: expected e.g. '{a} >= {b}'", f"Relations: {', '.join(ALLOWED)}")
    left, relation, right = match.groups()
    if {left, right} != {a, b}:
        raise ConfigError(f"--assert {text}: it must be about {a} and {b}")
    turned = {"better": "worse", "worse": "better"}
    allowed = ALLOWED[relation]
    return text, allowed if left == a else tuple(turned.get(word, word) for word in allowed)


def verdicts_of(workloads: Sequence[Workload], a: str) -> list[str]:
    """The verdict of a on each workload."""
    from optbench.reports.build.answers import verdict_of

    return [verdict_of(a, next(r.contender for r in w.rows if r.contender != a), w.pairs) for w in workloads]


def refuse(checked: tuple[str, tuple[str, ...]], found: Sequence[tuple[str, str]]) -> None:
    """NotHeld where a workload's verdict is not among those allowed."""
    text, allowed = checked
    against = [f"{name}: {word}" for name, word in found if word not in allowed]
    if against:
        raise NotHeld(f"{text} is not shown ({'; '.join(against)})")


def workload_tree(found: Workload, a: str) -> dict[str, Any]:
    """One workload for machines."""
    return {
        "workload": found.name,
        "metric": found.metric,
        "direction": found.direction,
        "headline": found.headline,
        "verdict": verdicts_of([found], a)[0],
        "answer": list(found.answer),
        "warnings": list(found.warnings),
        "rows": [asdict(row) for row in found.rows],
        "pair": asdict(found.pairs[0]),
    }


def lines(workloads: Sequence[Workload], assumptions: Sequence[str], mixed: Sequence[str]) -> list[str]:
    """The verdicts for people: the answer first, then what it rests on."""
    found = []
    for workload in workloads:
        pair, unit = workload.pairs[0], f"{workload.metric} on {workload.headline.partition('_')[0]}"
        found += [*workload.answer, ""]
        for row in workload.rows:
            estimate = row.test if workload.headline == "test_metric" else row.val
            found.append(f"  {row.contender:<20} {words(estimate)} {unit}, n={len(row.values)}, {row.trials} trials")
        found.append(f"  difference           {words(pair.difference)} ({pair.a} - {pair.b})")
        chance = f"  a run of {pair.a} is better than one of {pair.b} with probability"
        found.append(f"{chance} {words(pair.improvement)}")
        found += [f"  {line}" for line in (*pair.evidence, *workload.warnings)]
        found.append("")
    return [*found, *(f"mixed on request: {line}" for line in mixed), *assumptions]


def words(estimate: Any) -> str:
    """A number with its interval."""
    if estimate.value is None:
        return "-"
    inner = "" if estimate.low is None else f" [{estimate.low:.4g}, {estimate.high:.4g}]"
    return f"{estimate.value:.4g}{inner}"
