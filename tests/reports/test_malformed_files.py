"""Whatever the files of a results folder contain, the report covers the rest or one clear error ends it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optbench.benches.reporting.tree import make_tree
from optbench.errors import OptbenchError
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.chapters import document
from optbench.reports.read.reading import read
from optbench.reports.render.csv import tables
from optbench.reports.render.html.page import to_html
from optbench.reports.render.markdown import to_markdown
from optbench.reports.render.terminal import lines
from optbench.reports.render.write import plain

JUNK: tuple[Any, ...] = (
    None,
    "x",
    "",
    -1,
    1e308,
    True,
    [],
    {},
    [None],
    {"a": None},
    [[1]],
    "é\x00",
    0,
    0.5,
    float("nan"),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield every place in a tree of mappings and lists except the root."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def spoil(tree: Any, draw: random.Random) -> str:
    """Put junk in one place, or remove it; return what was done."""
    *path, last = draw.choice(list(places(tree)))
    for key in path:
        tree = tree[key]
    if draw.random() < 0.3:
        del tree[last]
        return f"without {[*path, last]}"
    tree[last] = draw.choice(JUNK)
    return f"{[*path, last]} = {tree[last]!r}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("whole"), runs=20, records=12)


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.slow] if n >= 15 else []) for n in range(300)])
@pytest.mark.parametrize("name", ["study.json", "run.json", "result.json"])
def test_one_malformed_value_never_stops_a_report(tmp_path: Path, whole: Path, name: str, seed: int) -> None:
    draw = random.Random(f"{name} {seed}")
    study = tmp_path / whole.name
    shutil.copytree(whole, study)
    files = sorted(study.rglob(name))
    done = []
    for file in draw.sample(files, min(len(files), 3)):
        tree = json.loads(file.read_text())
        done.append(f"{file.name}: {spoil(tree, draw)}")
        file.write_text(json.dumps(tree))
    try:
        results = read(study)
        report = build(results, ReportOptions(mix=frozenset(("data", "budgets", "versions"))))
    except OptbenchError:
        return
    except Exception as error:
        raise AssertionError(done) from error
    try:
        assert len(report.runs) + len(report.skipped) >= 20
        json.dumps(plain(report), allow_nan=False)
        made = document(report)
        assert to_html(made, results.root) and to_markdown(made, {}) and tables(made) and list(lines(report))
    except Exception as error:
        raise AssertionError(done) from error
