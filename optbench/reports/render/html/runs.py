"""Every run with its resolved config and the command that reproduces it, as data that runs.js lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields

from markupsafe import Markup

from optbench.reports.model.content import Report, RunDetail
from optbench.reports.render.html.markup import tag

COLUMNS = {  # {field of a run: head of its column}
    "contender": "contender",
    "workload": "workload",
    "study": "study",
    "stage": "stage",
    "trial": "trial",
    "seed": "seed",
    "budget": "budget",
    "status": "status",
    "val": "validation",
    "test": "test",
    "train_seconds": "training seconds",
    "run_id": "run",
}
NUMBERS = {"trial", "seed", "budget", "val", "test", "train_seconds"}


def run_data(run: RunDetail, who: int) -> dict[str, object]:
    """Return what runs.js shows of a run. `who`: the place of its contender."""
    named = {field.name: getattr(run, field.name) for field in fields(run)}
    return named | {"who": who, "config": yaml(run.config)}


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
    columns = {key: title for key, title in COLUMNS.items() if key != "study" or len(report.studies) > 1}
    heads = [
        tag(
            "th",
            tag("button", title, type="button", data_sort=key),
            scope="col",
            aria_sort="none",
            class_="num" if key in NUMBERS else None,
        )
        for key, title in columns.items()
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
