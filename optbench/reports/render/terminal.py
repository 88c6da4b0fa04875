"""The report on a terminal: the answer, a leaderboard for each workload, the verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from optbench.reports.model.content import Report, Row, Workload
from optbench.reports.render.html.numbers import interval_of, short, value_of

BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS = 16  # characters of a curve
IN_ASCII = str.maketrans(f"{BLOCKS}\u2212\u2013\u00d7\u00b1\u2026", "_.:-=+*#--x~.")  # for encodings without them


def lines(report: Report) -> Iterator[Any]:
    """Renderables for rich, one after the other: the answer first."""
    from rich.text import Text

    for line in report.answer:
        yield Text(clean(line), style="bold")
    if report.across:
        for line in report.across.answer:
            yield Text(clean(line), style="bold")
    if report.claim:
        yield Text(clean(report.claim.sentence), style="bold")
        if len(report.claim.criteria) > 1:
            yield from (Text(clean(f"  {line}")) for line in report.claim.lines)
    for workload in report.workloads:
        yield Text("")
        yield leaderboard(workload)
        for pair in workload.pairs:
            more = f" ({pair.more_seeds} more seeds for each would decide)" if pair.more_seeds else ""
            yield Text(clean(f"  {pair.sentence}{more}"))
        for warning in workload.warnings:
            yield Text(clean(f"  ! {warning}"), style="yellow")
    yield from closing(report)


def closing(report: Report) -> Iterator[Any]:
    """What was mixed, failed, left out or is still open."""
    from rich.text import Text

    said = [f"mixed on request: {line}" for line in report.mixed]
    if report.failures:
        said.append(f"{len(report.failures)} runs failed: {', '.join(counted(f.status for f in report.failures))}")
    said += [f"left out: {path}: {reason}" for path, reason in report.skipped]
    if report.open_runs:
        said.append(f"{report.open_runs} runs have not ended yet")
    for line in ["", *said] if said else ():
        yield Text(clean(line))


def counted(words: Any) -> list[str]:
    """How often each word comes."""
    words = list(words)
    return [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]


def leaderboard(workload: Workload) -> Any:
    """The table of one workload."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    on = workload.headline.partition("_")[0]
    arrow = "higher is better" if workload.direction == "max" else "lower is better"
    title = (
        f"{workload.name}: {workload.metric} on {on} after {workload.steps:,} steps of {workload.batch_size}, {arrow}"
    )
    table = Table(title=clean(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, right in (("rank", True), ("contender", False), (on, True), ("interval", False), ("n", True)):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for name in ("failed", "trials"):
        table.add_column(name, justify="right")
    table.add_column("best values", overflow="fold")
    table.add_column("validation", no_wrap=True)
    curves = {band.contender: band.value for band in workload.bands if band.column == "val_metric"}
    for row in workload.rows:
        estimate = row.test if workload.headline == "test_metric" else row.val
        cells = [
            span(row),
            clean(row.contender),
            value_of(estimate),
            interval_of(estimate),
            str(len(row.values)),
            str(row.failed or ""),
            str(row.trials or ""),
            clean(", ".join(f"{key.split('.')[-1]}={shown(value)}" for key, value in row.tuned.items())),
            spark(curves.get(row.contender, ())),
        ]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def span(row: Row) -> str:
    """The ranks that a contender may have."""
    return str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}-{row.rank_high}"


def shown(value: Any) -> str:
    """A hyperparameter."""
    return short(value) if isinstance(value, float) else str(value)


def spark(values: Sequence[float | None]) -> str:
    """A curve in a row of blocks; a gap where nothing was finite."""
    if len(values) < 2:
        return ""
    picked = [values[round(i * (len(values) - 1) / (SPARKS - 1))] for i in range(SPARKS)]
    known = [value for value in picked if value is not None]
    if not known:
        return ""
    low, width = min(known), max(known) - min(known)
    return "".join(
        " " if value is None else BLOCKS[min(7, math.floor(8 * (value - low) / width)) if width else 0]
        for value in picked
    )


def clean(text: str) -> str:
    """Without characters that would command a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def print_report(report: Report) -> None:
    """Print it: as wide as the terminal; in a pipe each sentence is one line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=200)
    with console.capture() if not console.encoding.startswith("utf") else nullcontext() as caught:
        for line in lines(report):
            console.print(line, soft_wrap=isinstance(line, Text) and not console.is_terminal)
    if caught:
        console.file.write(fitting(caught.get(), console.encoding))


def fitting(text: str, encoding: str) -> str:
    """Text that an encoding can write: signs that it lacks in ASCII, and a question mark for any other."""

    def known(sign: str) -> str:
        if sign.isascii() or sign.encode(encoding, "ignore"):
            return sign
        return sign.translate(IN_ASCII).encode(encoding, "replace").decode(encoding)

    return "".join(map(known, text))
