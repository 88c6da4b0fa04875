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
from optbench.cli.output import Output, print_lines
from optbench.errors import ConfigError, MissingError, NoResultsError

if TYPE_CHECKING:
    from optbench.reports.build.studies import StudyReport
    from optbench.reports.build.workload import ReportOptions

log = logging.getLogger(__name__)
DEFAULT_OUTPUT = Path("report")


def report(
    results: options.StudyPath = None,
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
    only: Annotated[str, typer.Option(help="Some of html, md, json, csv, figures; and pdf, tex")] = "",
    wandb: Annotated[str | None, typer.Option(help="Read a W&B project instead: [ENTITY/]PROJECT")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the report again whenever a run ends, until the sweep ends.")
    ] = False,
    every: Annotated[float, typer.Option(help="With --watch: seconds between two checks")] = 10.0,
    open_: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say which optimizer to use, and how sure that is: optbench report results/NAME -o report/"""
    output = Output(as_json)
    wanted = ReportFlags(margin, options.split(mix), reference, level, folder, options.split(only), wandb)
    if watch:
        keep_writing(results, wanted, every, open_=open_)
        return
    from optbench.reports.build.studies import build_studies, first_lines, warn

    made = build_studies(source(results, wanted), wanted.how())
    warn(made)
    printed = text or as_json
    files = wanted.write(made) if folder is not None or open_ or not printed else []
    if printed:
        output.answer(tree_of(made) if as_json else None, lambda: print_text(made))
    else:
        print_lines([*first_lines(made), written_line(files)])
    if open_:
        open_page(files)


def open_page(files: Sequence[Path]) -> None:
    """Show the first page among the files in a browser. Raise ConfigError if none was written, MissingError without a
    browser."""
    import webbrowser

    page = next((file for file in files if file.suffix == ".html"), None)
    if page is None:
        raise ConfigError("--open: no page was written", "Leave out --only, or name html in it")
    if not webbrowser.open(page.resolve().as_uri()):
        raise MissingError(f"--open: no browser was found for {page}")


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

    def how(self) -> ReportOptions:
        """Return how the report is made. Raise ConfigError for an option that cannot be used."""
        from optbench.reports.build.options import options_of
        from optbench.reports.render.write import check_kinds

        check_kinds(self.only)
        return options_of(self.margin, self.mix, self.reference, self.level)

    def write(self, made: Sequence[StudyReport], refresh: int | None = None) -> list[Path]:
        """Write the files and return them."""
        from optbench.reports.render.write import KINDS, write_studies

        return write_studies(made, self.folder or DEFAULT_OUTPUT, self.only or KINDS, refresh)


def source(path: Path | None, wanted: ReportFlags) -> Path:
    """Return the folder to read. With --wandb, fetch the project's runs into it first."""
    from optbench.reports.read.from_wandb import fetch
    from optbench.reports.read.locate import located
    from optbench.store import results_root

    if wanted.wandb is None:
        return located(path)
    if path is not None:
        raise ConfigError(f"--wandb {wanted.wandb} and {path} are mutually exclusive")
    return fetch(wanted.wandb, results_root(None))


def keep_writing(path: Path | None, wanted: ReportFlags, every: float, *, open_: bool = False) -> None:
    """Write the files again whenever something has changed, until all studies end or Ctrl-C. `open_`: show the page
    once."""
    from optbench.reports.build.studies import build_studies, first_lines
    from optbench.reports.read.locate import located
    from optbench.reports.watch import all_finished, changes

    if every <= 0:
        raise ConfigError(f"--every {every:g}: expected seconds above 0")
    if wanted.wandb is not None:
        raise ConfigError("--watch and --wandb are mutually exclusive: only a results folder can be watched")
    how, root, printed = wanted.how(), located(path), [""]
    try:
        for _ in changes(root, every):
            try:
                made = build_studies(root, how)
            except NoResultsError as error:
                words, ended = str(error).splitlines(), False
            else:
                ended = all(one.results is not None and all_finished(one.results) for one in made)
                files = wanted.write(made, refresh=None if ended else max(1, round(every)))
                words = [*first_lines(made), written_line(files)]
                if open_:
                    open_page(files)
                    open_ = False
            if words != printed:
                print_lines(words)
            printed = words
            if ended:
                return
    except KeyboardInterrupt:
        log.warning("stopped watching; the last report stays")


def tree_of(made: Sequence[StudyReport]) -> object:
    """Return the report as plain data; of several studies, by name."""
    from optbench.reports.render.write import plain

    if len(made) == 1:
        return plain(made[0].report)
    return {"studies": {one.name: plain(one.report) if one.report else {"problem": one.problem} for one in made}}


def print_text(made: Sequence[StudyReport]) -> None:
    """Print a report; of several studies, their list and the first screen of each."""
    from optbench.reports.build.studies import entries
    from optbench.reports.render.terminal import print_first_screen, print_index, print_report

    if len(made) == 1 and made[0].report:
        print_report(made[0].report)
        return
    print_index(entries(made))
    for one in made:
        if one.report:
            print_lines(["", f"== {one.name} =="])
            print_first_screen(one.report)


def written_line(files: Sequence[Path]) -> str:
    """Return the names of the files in a line: the pages first, tables and figures as a number."""
    shown = [path for path in files if path.suffix in (".html", ".md", ".json")]
    listed = [path for path in shown if path.stem == "index"] or shown
    others = len(files) - len(listed)
    return f"written: {', '.join(map(str, listed))}" + (f" and {others} more files" if others else "")
