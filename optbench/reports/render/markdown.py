"""The report in Markdown, for repositories and issues: the answer first, then a table for each section."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from optbench.reports.model.content import Estimate, Report, ToTarget, Workload
from optbench.reports.render.html.numbers import interval_of, short, value_of

IN_A_LINE = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~$"} | {"&": "&amp;"})
ACROSS = "across"  # starts the names of the figures of all workloads together
LISTED = 50  # runs that failed or were left out; the rest is counted


def to_markdown(report: Report, figures: Mapping[str, str]) -> str:
    """The report as Markdown. `figures`: for each name (`WORKLOAD-KIND`) the path of a picture beside the report."""
    parts = [f"# {text(report.title)}", *opening(report)]
    own = figures_of(report, figures)
    for workload, drawn in zip(report.workloads, own, strict=False):
        parts += [f"## {text(workload.name)}", *sections(workload, drawn)]
    if report.across:
        parts += [*across(report), pictures("all workloads", own[-1])]
    parts += closing(report)
    return "\n\n".join(part for part in parts if part) + "\n"


def opening(report: Report) -> Iterator[str]:
    """The answer and what weakens it."""
    yield bullets([f"**{text(line)}**" for line in (*report.answer, *(report.across.answer if report.across else ()))])
    if report.claim:
        yield f"**Claim:** {text(report.claim.sentence)}"
        if len(report.claim.criteria) > 1:
            yield bullets(map(text, report.claim.lines))
    if report.mixed:
        yield "Mixed on request:\n\n" + bullets(map(text, report.mixed))
    if report.open_runs:
        yield f"{report.open_runs} runs have not ended yet."


def sections(workload: Workload, figures: Mapping[str, str]) -> Iterator[str]:
    """Every section of a workload that holds something. `figures`: those of this workload, by kind."""
    on = workload.headline.partition("_")[0]
    better = "higher" if workload.direction == "max" else "lower"
    goal = f" Target on validation: {short(workload.target)}." if workload.target is not None else ""
    yield (
        f"{text(workload.metric)} on {on}, {better} is better, after {workload.steps:,} steps of "
        f"{workload.batch_size:,} samples.{goal}"
    )
    yield bullets(map(text, workload.warnings))
    yield leaderboard(workload, on)
    tuned = [(text(row.contender), text(words_of(row.tuned)), text(edges(row.edges))) for row in workload.rows]
    if any(values for _, values, _ in tuned):
        yield "### What tuning chose\n\n" + table(("contender", "values", "on the edge of the box"), tuned)
    yield verdicts(workload)
    for title, columns, rows in SECTIONS:
        found = [cells for row in rows(workload) if (cells := row)]
        if found:
            yield f"### {title}\n\n" + table(columns, found)
    yield pictures(workload.name, figures)


def pictures(of: str, figures: Mapping[str, str]) -> str:
    """Figures by kind, shown."""
    return "\n\n".join(f"![{text(of)}: {text(kind)}]({path})" for kind, path in figures.items())


def leaderboard(workload: Workload, on: str) -> str:
    """The contenders, best first."""
    rows = [
        (
            str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}-{row.rank_high}",
            text(row.contender),
            estimate(row.test if workload.headline == "test_metric" else row.val),
            estimate(row.val),
            estimate(row.gap),
            str(len(row.values)),
            str(row.failed),
            str(row.trials),
        )
        for row in workload.rows
    ]
    names = ("rank", "contender", on, "validation", "gap to training", "n", "failed", "trials")
    return "### Leaderboard\n\n" + table(names, rows)


def verdicts(workload: Workload) -> str:
    """Every pair with its evidence."""
    rows = [
        (
            text(pair.a),
            text(pair.b),
            f"**{pair.verdict}**",
            estimate(pair.difference),
            p_value(pair.adjusted_p),
            estimate(pair.improvement),
            text("; ".join(pair.evidence)),
        )
        for pair in workload.pairs
    ]
    names = ("a", "b", "a is", "a - b", "p", "P(a run of a is better)", "evidence")
    return "### Verdicts\n\n" + table(names, rows) if rows else ""


def target_rows(workload: Workload) -> Iterator[Sequence[str]]:
    """What it took to reach the target."""
    for row in workload.to_target:
        yield target_row(row)


def target_row(row: ToTarget) -> Sequence[str]:
    """One contender by one rule."""
    costs = (row.steps, row.samples, row.train_seconds, row.wall_seconds, row.flops)
    rule = f"complete schedule{f' x {row.budget:g}' if row.budget is not None else ''}"
    how = rule if row.kind == "complete" else "first passing (depends on the schedule)"
    return (text(row.contender), how, f"{row.reached} of {row.of}", *map(estimate, costs))


Rows = Callable[[Workload], Iterator[Sequence[str]]]
SECTIONS: tuple[tuple[str, Sequence[str], Rows], ...] = (
    (
        "Time to target",
        ("contender", "by", "reached", "steps", "samples", "training seconds", "wall seconds", "FLOPs"),
        target_rows,
    ),
    (
        "Ladder of budgets",
        ("contender", "budget", "steps", "test", "validation"),
        lambda w: (
            (text(r.contender), f"{r.budget:g}", f"{r.steps:,}", estimate(r.test), estimate(r.val)) for r in w.ladder
        ),
    ),
    (
        "Expected best after n trials",
        ("contender", "n: expected best validation metric"),
        lambda w: (
            (text(c.contender), ", ".join(f"{n}: {short(c.expected[n - 1])}" for n in doublings(len(c.trials))))
            for c in w.budget_curves
        ),
    ),
    (
        "Sensitivity to the learning rate",
        ("contender", "of", "mean loss of metric over the box", "trials", "chosen"),
        lambda w: (
            (text(s.contender), text(s.key), estimate(s.number), str(len(s.x)), short(s.chosen)) for s in w.sensitivity
        ),
    ),
    (
        "Memory and time",
        ("contender", "state", "state / parameters", "peak", "ms a step", "samples/s", "speed against the reference"),
        lambda w: (
            (
                text(r.contender),
                size(r.state_bytes),
                short(r.state_per_parameter),
                size(r.peak_bytes),
                estimate(r.step_ms),
                estimate(r.samples_per_second),
                estimate(r.relative_speed),
            )
            for r in w.resources
        ),
    ),
    (
        "Trade-offs",
        ("contender", "quality", "training seconds", "state", "on the front"),
        lambda w: (
            (text(p.contender), short(p.quality), short(p.train_seconds), size(p.state_bytes), "yes" if p.front else "")
            for p in w.pareto
        ),
    ),
    (
        "Stability",
        ("contender", "runs failed", "share", "loss spikes in 1,000 records"),
        lambda w: (
            (text(s.contender), f"{s.failed} of {s.runs}", estimate(s.share), estimate(s.spikes)) for s in w.stability
        ),
    ),
)


def across(report: Report) -> Iterator[str]:
    """All workloads together."""
    assert report.across is not None
    yield "## Across workloads"
    rows = [
        (
            text(s.contender),
            *map(estimate, (s.mean_rank, s.iqm)),
            short(s.rank_first),
            *map(estimate, (s.score, s.speed_up)),
        )
        for s in report.across.scores
    ]
    yield table(
        ("contender", "mean rank", "interquartile mean", "comes first", "score of times to target", "speed-up"), rows
    )
    yield text(report.across.note)
    left = [(text(row.without), text(", ".join(row.order))) for row in report.across.leave_one_out]
    if left:
        yield "Without one workload, in order of mean rank:\n\n" + table(("without", "order"), left)


def closing(report: Report) -> Iterator[str]:
    """Failures, assumptions, what was left out, how it was made."""
    failed = [(text(f.run_id), text(f.contender), text(f.status), text(f.reason)) for f in report.failures]
    if failed:
        yield "## Failures\n\n" + table(("run", "contender", "status", "reason"), failed[:LISTED]) + rest(failed)
    yield "## What was assumed\n\n" + bullets(map(text, report.assumptions))
    skipped = [(text(path), text(reason)) for path, reason in report.skipped]
    if skipped:
        yield "## Left out\n\n" + table(("path", "reason"), skipped[:LISTED]) + rest(skipped)
    yield f"Made by {text(report.made_with)}: {text(report.command)}"


def rest(rows: Sequence[Any]) -> str:
    """How many rows are not listed."""
    return f"\n\nand {len(rows) - LISTED} more" if len(rows) > LISTED else ""


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)


def bullets(lines: Any) -> str:
    """A list, empty for no lines."""
    return "\n".join(f"- {line}" for line in lines)


def text(words: Any) -> str:
    """Words of a configuration or a log in one line, with nothing in them that Markdown would act on."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return line.translate(IN_A_LINE)


def estimate(of: Estimate) -> str:
    """A number with its interval and its count."""
    return f"{value_of(of)} {text(interval_of(of))}".strip()


def p_value(p: float | None) -> str:
    """A p-value after correction."""
    return short(None) if p is None else "&lt; 0.001" if p < 0.001 else short(p, 2)


def size(count: float | None) -> str:
    """Bytes."""
    from optbench.reports.render.html.numbers import size as sized

    return str(sized(count))


def words_of(values: Mapping[str, Any]) -> str:
    """Hyperparameters: key=value."""
    return ", ".join(f"{key}={short(v) if isinstance(v, float) else v}" for key, v in values.items())


def edges(found: Sequence[tuple[str, str]]) -> str:
    """Keys whose best value lies on the edge of the box."""
    return ", ".join(f"{key} ({end})" for key, end in found)


def doublings(n: int) -> list[int]:
    """1, 2, 4, ..., n"""
    return sorted({min(n, 2**k) for k in range(n.bit_length() + 1)} if n else ())


def starts(workloads: Sequence[Workload]) -> list[str]:
    """What the names of each workload's figures start with: no two the same."""
    found: list[str] = []
    for workload in workloads:
        start = slug(workload.name)
        while start in (*found, ACROSS):
            start += "-x"
        found.append(start)
    return found


def figures_of(report: Report, figures: Mapping[str, str]) -> list[dict[str, str]]:
    """{kind: path} of each workload in turn, and last of all together. A name belongs to the longest start that it
    has: `a-b-ladder` to the workload `a-b`, where there is one, not to `a`."""
    names = [*starts(report.workloads), ACROSS]
    found: list[dict[str, str]] = [{} for _ in names]
    for name, path in sorted(figures.items()):
        fitting = [i for i, start in enumerate(names) if name.startswith(f"{start}-")]
        if fitting:
            place = max(fitting, key=lambda i: len(names[i]))
            found[place][name.removeprefix(f"{names[place]}-")] = path
    return found


def slug(name: str) -> str:
    """A name as part of a file's name."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
    return "-".join(part for part in kept.split("-") if part).lower() or "workload"
