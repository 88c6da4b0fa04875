"""Every run with its resolved config and the command that reproduces it, as data that page.js lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optbench.reports.model.content import Report, RunDetail
from optbench.reports.render.html.palette import Palette
from optbench.reports.render.html.tags import Markup, tag

COLUMNS = (
    ("contender", "contender", None),
    ("workload", "workload", None),
    ("stage", "stage", None),
    ("trial", "trial", "num"),
    ("seed", "seed", "num"),
    ("budget", "budget", "num"),
    ("status", "status", None),
    ("val", "validation", "num"),
    ("test", "test", "num"),
    ("seconds", "seconds", "num"),
    ("run", "run", None),
)


def data(report: Report, names: Palette) -> list[dict[str, Any]]:
    """What page.js shows of each run; deflating makes the much that they have in common small."""
    return [one(run, names) for run in report.runs]


def one(run: RunDetail, names: Palette) -> dict[str, Any]:
    """One run. `who` is its place in the palette."""
    return {
        "who": names.place(run.contender),
        "contender": run.contender,
        "workload": run.workload,
        "stage": run.stage,
        "trial": run.trial,
        "seed": run.seed,
        "budget": run.budget,
        "status": run.status,
        "val": run.val,
        "test": run.test,
        "seconds": run.train_seconds,
        "run": run.run_id,
        "study": run.study,
        "reason": run.reason,
        "hardware": run.hardware,
        "folder": run.folder,
        "command": run.command,
        "config": yaml(run.config),
    }


def yaml(tree: Mapping[str, Any], indent: str = "") -> str:
    """A resolved config as YAML, exactly: in a browser 1.0 would become 1 and a long number another."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", yaml(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(value, default=str, ensure_ascii=False)}")
    return "\n".join(lines)


def listing(report: Report) -> Markup:
    """The empty table with its search box."""
    several = [("study", "study", None)] if len(report.studies) > 1 else []
    columns = (*COLUMNS[:2], *several, *COLUMNS[2:])
    heads = [
        tag("th", tag("button", title, type="button", data_sort=key), scope="col", aria_sort="none", class_=kind)
        for key, title, kind in columns
    ]
    search = tag("input", id="filter", type="search", placeholder="e.g. lion final diverged", autocomplete="off")
    inner = tag(
        "table",
        tag("caption", tag("span", "A click on a run opens its config and the command that reproduces it")),
        tag("thead", tag("tr", *heads)),
        tag("tbody"),
        id="runs-table",
    )
    return tag(
        "div",
        tag(
            "p", tag("label", "Filter by words ", for_="filter"), search, " ", tag("output", for_="filter", id="found")
        ),
        tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Runs"),
        tag("button", "Show more", type="button", id="more", hidden=True),
        tag("noscript", "The runs are listed with JavaScript; report.json and the CSV files hold them too."),
        class_="runs",
    )
