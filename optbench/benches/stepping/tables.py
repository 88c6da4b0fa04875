"""The report of the step bench as text."""

from __future__ import annotations

from optbench.benches import Report

COUNTED = {
    True: "  calls: kernels that a step launches; waits: of the host for the device in a step",
    False: "  calls: operations on tensors in a step; waits: values that the host reads, as it waits for on CUDA",
}
OUTCOMES = {True: "met", False: "not met", None: "no other implementation to compare with"}


def lines(report: Report) -> list[str]:
    """Return the tables, the goals, and the implementations that do not run."""
    text = [
        f"step() alone on {report['device']}, {report['threads']} threads, torch {report['torch']}, "
        f"{report['rounds']} turns each; lower is better",
        "  / eager, / comp.: time divided by that of the fastest eager, and compiled or fused, one of other projects",
        "  / floor: time divided by that of moving each byte once; extra MB: peak memory during a step",
        COUNTED[report["device"] == "cuda"],
    ]
    heads = dict.fromkeys((row["algorithm"], row["shapes"]) for row in report["rows"])
    for head in heads:
        text += table_of([row for row in report["rows"] if (row["algorithm"], row["shapes"]) == head])
    text += [goal_line(goal) for goal in report["goals"]]
    return text + [
        f"skipped: {s['algorithm']} {s['implementation']} {s['shapes']}: {s['reason']}" for s in report["skipped"]
    ]


def table_of(rows: list[Report]) -> list[str]:
    """Return the table of one algorithm on one parameter set, the fastest first."""
    first = rows[0]
    head = f"{first['algorithm']} on {first['shapes']}: {first['tensors']} tensors, {first['parameters']:,} parameters"
    names = f"  {'':34} {'ms':>8} {'quartiles':>17} {'/ eager':>8} {'/ comp.':>8} {'/ floor':>8} {'B/par.':>7} "
    works = dict.fromkeys(row["work"] for row in rows if row["work"])
    marks = {"": "", **{work: "*" * (n + 1) for n, work in enumerate(works)}}
    return [
        "",
        head,
        *(f"  {marks[work]} not the same work: {work}. The ratios are among those marked so" for work in works),
        f"{names}{'extra MB':>9} {'calls':>6} {'waits':>5} {'first s':>8}",
        *(line_of(row, marks[row["work"]]) for row in sorted(rows, key=lambda row: row["ms"])),
    ]


def line_of(row: Report, mark: str = "") -> str:
    """Return the line of one implementation, with a mark behind its name."""
    spread = f"{row['ms_quarter']:.2f}-{row['ms_three_quarters']:.2f}"
    ratios = " ".join(f"{number(row[f'ratio_to_{other}']):>8}" for other in ("eager", "compiled", "floor"))
    extra = row["peak_extra_bytes"]
    calls, waits = ("-" if row[name] is None else row[name] for name in ("operations", "host_waits"))
    name = f"{row['implementation']} ({row['engine']}){mark}"
    return (
        f"  {name:34} {row['ms']:8.2f} {spread:>17} {ratios} {row['state_bytes_per_parameter']:7.2f} "
        f"{number(extra / 1e6 if extra is not None else None):>9} {calls:>6} {waits:>5} "
        f"{row['first_seconds']:8.2f}"
    )


def number(value: float | None) -> str:
    """Return two decimals, or a dash for None."""
    return "-" if value is None else f"{value:.2f}"


def goal_line(goal: Report) -> str:
    """Return a goal with its value and outcome."""
    return (
        f"goal {goal['algorithm']} ({goal['rule']}): {goal['over_shapes']} {goal['measure']} <= {goal['bound']}: "
        f"{number(goal['value'])}, {OUTCOMES[goal['holds']]}"
    )
