"""The commands that read results: report, compare, merge, score, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, Debug
from optbench.cli.output import emit, notice

app = typer.Typer()
imports = typer.Typer(help="Read other benchmarks' results.", no_args_is_help=True)


@app.command()
def report(
    results: Annotated[Path | None, typer.Argument(help="A study's folder, or the results folder")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder that is written.  [default: report]")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Leaderboard and verdicts here; files only with -o.")] = False,
    margin: options.Margin = "1%",
    mix: options.Mix = "",
    reference: Annotated[str, typer.Option(help="Contender that memory and speed are given against")] = "adamw",
    level: Annotated[float, typer.Option(help="Confidence of intervals and verdicts")] = 0.95,
    only: Annotated[str, typer.Option(help="Some of html, md, json, csv, figures")] = "",
    wandb: Annotated[str | None, typer.Option(help="Read a W&B project instead: [ENTITY/]PROJECT")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again whenever a run ends, until the sweep has ended.")
    ] = False,
    every: Annotated[float, typer.Option(help="With --watch: seconds between two looks")] = 10.0,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Which optimizer to use, and how sure that is: optbench report results/NAME -o report/"""
    from optbench.cli import report as commands

    line = " ".join(["optbench", "report", *map(str, filter(None, [results]))])
    wanted = commands.Wanted(
        margin, options.split(mix), reference, level, output, options.split(only), wandb, text, as_json, line
    )
    if watch:
        commands.watch(results, wanted, every, notice)
    else:
        commands.report(results, wanted, notice, emit)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="A contender, as the study names it: lion")],
    b: Annotated[str, typer.Argument(help="Another one")],
    results: Annotated[Path | None, typer.Argument(help="A study's folder, or the results folder")] = None,
    margin: options.Margin = "1%",
    mix: options.Mix = "",
    asserted: Annotated[
        str | None, typer.Option("--assert", help="Exit 3 unless this is shown on every workload: 'lion >= adamw'")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """The verdict between two, with its evidence: optbench compare lion adamw results/NAME"""
    from optbench.cli import report as commands

    kinds = options.split(mix)
    commands.compare(
        a, b, results, margin=margin, mix=kinds, asserted=asserted, as_json=as_json, notice=notice, emit=emit
    )


@app.command()
def merge(
    trees: Annotated[list[Path], typer.Argument(metavar="TREE...", help="Results folders, or studies' folders")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Results folder for all of them; what lies there counts as first.")
    ],
    mix: Annotated[str, typer.Option(help="Merge in spite of different versions")] = "",
    link: Annotated[bool, typer.Option("--link", help="Hard links of ended runs instead of copies.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move run folders instead of copying them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be merged, and stop.")] = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Results of several machines as one tree: optbench merge A B -o OUT

    Exit code 3 where trees contradict each other on a run; the first one's is kept."""
    from optbench.cli import merge as commands

    how = {"link": link, "move": move, "dry_run": dry_run, "as_json": as_json, "quiet": quiet}
    commands.merge(trees, output, mix=options.split(mix), notice=notice, emit=emit, **how)


@app.command()
def score(
    table: Annotated[Path, typer.Argument(help="Seconds to target as CSV: wide (submission, WORKLOAD...) or long")],
    trapezoid: Annotated[
        bool, typer.Option("--trapezoid", help="AlgoPerf's 100-point sum instead of the exact integral.")
    ] = False,
    r_max: Annotated[float, typer.Option(help="Ratio to the fastest from which nothing is scored")] = 4.0,
    reference: Annotated[str | None, typer.Option(help="Submission that speed-ups are given over")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Score any benchmark's times to target: optbench score TABLE.csv

    A workload whose name extends another's by _... is its held-out variant; empty or inf: not reached."""
    from optbench.cli import score as commands

    commands.score(
        table, trapezoid=trapezoid, r_max=r_max, reference=reference, as_json=as_json, notice=notice, emit=emit
    )


@imports.command()
def algoperf(
    folder: Annotated[Path, typer.Argument(help="SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M/eval_measurements.csv")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file instead of stdout.")] = None,
    targets: Annotated[
        Path | None, typer.Option(help="YAML of further targets: WORKLOAD: {metric, value, direction}")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """AlgoPerf's published log folders as a table for `optbench score`."""
    from optbench.cli import score as commands

    commands.import_algoperf(folder, output=output, targets=targets, as_json=as_json, notice=notice, emit=emit)


@imports.callback()
def import_root() -> None:
    """Read other benchmarks' results."""
