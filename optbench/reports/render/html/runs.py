"""Every run with its resolved config and the command that reproduces it, as data that runs.js lists."""

from __future__ import annotations

import json
from collections.abc import Mapping

from markupsafe import Markup

from optbench.reports.model.content import Report, RunDetail
from optbench.reports.render.html.markup import tag

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


def run_data(run: RunDetail, who: int) -> dict[str, object]:
    """Return what runs.js shows of a run. `who`: the place of its contender."""
    return {
        "who": who,
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


def yaml(tree: Mapping[str, object], indent: str = "") -> str:
    """Return a resolved config as YAML, exactly: in a browser 1.0 would become 1 and a long number another."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}:", yaml(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(value, default=str, ensure_ascii=False)}")
    return "\n".join(lines)


def listing(report: Report) -> Markup:
    """Return the empty table with its search box."""
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
        tag("button", "Show more", type="button", id="more", hidden=""),
        tag("noscript", "The runs are listed with JavaScript; report.json and the CSV files hold them too."),
        class_="runs",
    )
