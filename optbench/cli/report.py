"""`optbench report`: the answer of a study, and the evidence for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output, print_encodable
from optbench.errors import ConfigError, NoResultsError

if TYPE_CHECKING:
    from optbench.reports.build.workload import ReportOptions
    from optbench.reports.model.content import Report

log = logging.getLogger(__name__)
DEFAULT_OUTPUT = Path("report")


def report(
    results: Annotated[Path | None, typer.Argument(help="A study's folder, or the results folder")] = None,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files.  [default: report]")
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Print leaderboard and verdicts; write files only with -o.")
    ] = False,
    margin: options.Margin = "1%",
    mix: options.Mix = "",
    reference: Annotated[str, typer.Option(help="Optimizer that memory and speed are compared with")] = "adamw",
    level: Annotated[float, typer.Option(help="Confidence of intervals and verdicts")] = 0.95,
    only: Annotated[str, typer.Option(help="Some of html, md, json, csv, figures")] = "",
    wandb: Annotated[str | None, typer.Option(help="Read a W&B project instead: [ENTITY/]PROJECT")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the report again whenever a run ends, until the sweep ends.")
    ] = False,
    every: Annotated[float, typer.Option(help="With --watch: seconds between two checks")] = 10.0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say which optimizer to use, and how sure that is: optbench report results/NAME -o report/"""
    output = Output(as_json)
    line = " ".join(["optbench", "report", *map(str, filter(None, [results]))])
    wanted = ReportFlags(margin, options.split(mix), reference, level, folder, options.split(only), wandb, line)
    if watch:
        keep_writing(results, wanted, every)
        return
    from optbench.reports.build.report import build
    from optbench.reports.read.reading import read
    from optbench.reports.render.terminal import print_report
    from optbench.reports.render.write import plain

    how = wanted.how()
    runs = read(source(results, wanted))
    made = build(runs, how)
    for path, reason in made.skipped:
        log.warning(f"left out: {path}: {reason}")
    printed = text or as_json
    files = written(made, wanted, runs.root) if folder is not None or not printed else []
    if printed:
        output.answer(plain(made) if as_json else None, lambda: print_report(made))
    else:
        print_encodable("\n".join(first_lines(made, files)))


@dataclass(frozen=True)
class ReportFlags:
    """The options of `optbench report`."""

    margin: str
    mix: Sequence[str]
    reference: str
    level: float
    folder: Path | None
    only: Sequence[str]
    wandb: str | None
    command: str

    def how(self) -> ReportOptions:
        """Return how the report is made. Raise ConfigError for an option that cannot be used."""
        from optbench.reports.build.workload import ReportOptions
        from optbench.reports.comparable import check_kinds
        from optbench.reports.render.write import check_kinds as check_outputs
        from optbench.reports.statistics.verdicts import parse_margin

        check_outputs(self.only)
        if not 0.5 <= self.level < 1:
            raise ConfigError(f"--level {self.level:g}: expected a confidence from 0.5 to below 1, e.g. 0.95")
        return ReportOptions(
            level=self.level,
            margin=parse_margin(self.margin),
            mix=check_kinds(self.mix),
            command=self.command,
            reference=self.reference,
        )


def source(path: Path | None, wanted: ReportFlags) -> Path:
    """Return the folder to read. With --wandb, fetch the project's runs into it first."""
    from optbench.reports.read.from_wandb import fetch
    from optbench.store import results_root

    if wanted.wandb is None:
        return path or results_root(None)
    if path is not None:
        raise ConfigError(f"--wandb {wanted.wandb} and {path} are mutually exclusive")
    return fetch(wanted.wandb, results_root(None))


def keep_writing(path: Path | None, wanted: ReportFlags, every: float) -> None:
    """Write the files again whenever something has changed, until the study ends or Ctrl-C."""
    from optbench.reports.build.report import build
    from optbench.reports.read.reading import read
    from optbench.reports.watch import all_finished, changes
    from optbench.store import results_root

    if every <= 0:
        raise ConfigError(f"--every {every:g}: expected seconds above 0")
    if wanted.wandb is not None:
        raise ConfigError("--watch and --wandb are mutually exclusive: only a results folder can be watched")
    how, root, printed = wanted.how(), path or results_root(None), ""
    try:
        for _ in changes(root, every):
            try:
                results = read(root)
                made = build(results, how)
            except NoResultsError as error:
                words, ended = str(error), False
            else:
                ended = all_finished(results)
                files = written(made, wanted, results.root, refresh=None if ended else max(1, round(every)))
                words = "\n".join(first_lines(made, files))
            if words != printed:
                print_encodable(words)
            printed = words
            if ended:
                return
    except KeyboardInterrupt:
        log.warning("stopped watching; the last report stays")


def written(made: Report, wanted: ReportFlags, root: Path, refresh: int | None = None) -> list[Path]:
    """Write the files of a report and return them."""
    from optbench.reports.render.write import KINDS, write_report

    folder = wanted.folder or DEFAULT_OUTPUT
    return write_report(made, folder, root=root, kinds=wanted.only or KINDS, refresh=refresh)


def first_lines(made: Report, files: Sequence[Path]) -> list[str]:
    """Return the answer and the names of the files."""
    from optbench.reports.render.terminal import clean

    found = [clean(line) for line in (*made.answer, *(made.across.answer if made.across else ()))]
    found += [clean(made.claim.sentence)] if made.claim else []
    found += [clean(f"mixed on request: {line}") for line in made.mixed]
    found += [f"{made.open_runs} runs have not ended yet"] if made.open_runs else []
    shown = [path for path in files if path.suffix in (".html", ".md", ".json")]
    others = len(files) - len(shown)
    written = ", ".join(map(str, shown)) + (f" and {others} tables and figures" if others else "")
    return [*found, f"written: {written}"]
