"""Summarise the published verdicts in files of the project (PLACES), between marks.

<!-- results --> ... <!-- /results -->                 the table of the verdicts
<!-- leaderboard NAME --> ... <!-- /leaderboard -->    the leaderboard of results/claims/NAME"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from optbench.errors import ConfigError
from optbench.reports.render.write import write_text
from optbench.reproducing.document import EstimateDocument, VerdictDocument, folder_name
from optbench.reproducing.find import FOLDER, slugs
from optbench.trackers.console import duration

PLACES = ("README.md", "docs/results/claims.md", "results/README.md")
START, END = "<!-- results -->", "<!-- /results -->"
MARKED = re.compile(r"(<!-- leaderboard ([\w.-]+) -->\n).*?(<!-- /leaderboard -->)", re.DOTALL)
HEADER = ("claim", "verdict", "seeds", "what decided it", "scale, device", "cost")
BOARD = (
    "",
    "contender",
    "score",
    "P(best)",
    "least score",
    "equivalent budget",
    "regret at defaults",
    "speed",
    "state",
)
ORDER = ("supported", "not supported", "mixed", "undecided", "not testable here")
LONGEST = 200  # characters of the evidence of a row
COUNT = re.compile(r", n = \d+ \w+$")


def section(verdicts: Sequence[VerdictDocument], base: str, waiting: Sequence[str] = ()) -> str:
    """Return the table of the verdicts. `base`: the path from the file to the folder of the verdicts. `waiting`: claims
    without one."""
    none = [f"Not run yet in their present design: {', '.join(waiting)}."] if waiting else []
    if not verdicts:
        return " ".join(["No claim has been published yet.", *none])
    kinds = [verdict_of(tree).partition(" (")[0] for tree in verdicts]
    counts = [f"{word} {kinds.count(word)}" for word in ORDER if word in kinds]
    total = f"Of {len(verdicts)} verdicts: {', '.join(counts)}."
    cost = "Cost: the seconds of all runs together."
    return "\n".join([*table(HEADER, [row(tree, base) for tree in verdicts]), "", " ".join([total, cost, *none])])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def verdict_of(tree: VerdictDocument) -> str:
    """Return the word of a verdict."""
    return tree.get("verdict", "")


def name_of(tree: VerdictDocument) -> str:
    """Return the folder of a verdict."""
    return folder_name(tree.get("slug", ""), tree.get("scale"))


def row(tree: VerdictDocument, base: str) -> list[str]:
    """Return one row of the table of verdicts."""
    seeds = "" if tree.get("seeds") is None else f"{tree.get('seeds')}{' (few)' if tree.get('few_seeds') else ''}"
    linked = f"[{tree.get('slug')}]({base}{name_of(tree)}/report.md): {cell(tree.get('title', ''))}"
    where = ", ".join(cell(word) for word in (tree.get("scale"), tree.get("device")) if word)
    cost = duration(tree["run_seconds"]) if "run_seconds" in tree else ""
    return [linked, f"**{verdict_of(tree)}**", seeds, cell(decisive(tree)), where, cost]


def decisive(tree: VerdictDocument) -> str:
    """Return how many criteria hold, and the one that decided: a control that does not hold, else the first one with
    the verdict."""
    every = tree.get("criteria", [])
    criteria = [one for one in every if not one.get("control")]
    failed = [one for one in every if one.get("control") and one.get("holds") is not True]
    deciding = failed or [one for one in criteria if one.get("holds") is tree.get("holds")] or criteria
    held = sum(one.get("holds") is True for one in criteria)
    count = f"{held} of {len(criteria)} hold; " if len(criteria) > 1 else ""
    count += "control: " if failed else ""
    one = deciding[0]
    evidence = one.get("evidence") or []
    places = [place for place in evidence if place.get("holds") is one.get("holds")]
    words = COUNT.sub("", places[0].get("words", "")) if places else one.get("words", "")
    where = f" ({places[0].get('where')})" if places and len(evidence) > 1 else ""
    text = f"{count}{one.get('text') or one.get('statement')}{where}: {words}"
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


def leaderboard(tree: VerdictDocument, base: str) -> str:
    """Return the contenders of a study over all of its workloads."""
    standings, title = tree.get("standings", []), tree.get("title", "")
    rows = [
        [
            str(place),
            f"`{one['contender']}`",
            with_interval(one["iqm"]),
            share(one["first"]),
            "" if one["minimum"] is None else f"{one['minimum']:.2f} ({one['weakest']})",
            f"{one['equivalent_bound']} {with_interval(one['equivalent'])}".strip(),
            share(one["regret_at_defaults"]),
            ratio(one["speed"]),
            ratio(one["state"]),
        ]
        for place, one in enumerate(standings, 1)
    ]
    folder = f"{base}{name_of(tree)}"
    where = ", ".join(word for word in (tree.get("device"), f"{tree.get('seeds')} seeds") if word)
    claim = f"{cell(title)}: {verdict_of(tree)}."
    equal = f"Held equal: {words}. " if (words := tree.get("held_equal")) else ""
    end = f"{equal}`{tree.get('command') or tree.get('slug')}` ({where}): [report]({folder}/report.md). **{claim}**"
    return "\n".join([f"![{title}]({folder}/runs.png)", "", *table(BOARD, rows), "", end])


def share(value: float | None) -> str:
    """Return a share as per cent, empty if unknown."""
    return "" if value is None else f"{100 * value:.0f} %"


def with_interval(of: EstimateDocument) -> str:
    """Return an estimate with its interval, empty if unknown."""
    if of["value"] is None:
        return ""
    interval = "" if of["low"] is None or of["high"] is None else f" [{of['low']:.2f}, {of['high']:.2f}]"
    return f"{of['value']:.2f}{interval}"


def ratio(value: float | None) -> str:
    """Return a multiple of the reference's cost, empty if unknown."""
    return "" if value is None else f"{value:.2f} x"


def cell(words: str) -> str:
    """Return text that cannot break a table."""
    return " ".join(str(words).split()).replace("|", "\\|").replace("<", "&lt;")


def marked(folder: Path) -> list[Path]:
    """Return the project's files with marks. `folder`: of the verdicts, PROJECT/results/claims. Raises ConfigError if
    there is none."""
    project = folder.resolve().parents[1]
    files = [file for place in PLACES if (file := project / place).is_file()]
    found = [file for file in files if START in (text := read_text(file)) or MARKED.search(text)]
    if not found:
        hint = f"Add {START} and {END} to one of {', '.join(PLACES)}"
        raise ConfigError(f"{project}: no file has marks for the table", hint)
    return found


def read_text(file: Path) -> str:
    """Return a file's text. Raises ConfigError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None


def rewritten(file: Path, verdicts: Sequence[VerdictDocument], folder: Path) -> str:
    """Return the file's text with everything between marks up to date.

    Raises ConfigError if a mark has no end, or names a leaderboard that is not published."""
    text, base = read_text(file), path_from(file, folder)
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if start and not end:
        raise ConfigError(f"{file}: {START} has no end", f"Add {END} where the table ends")
    if start:
        published = {tree.get("slug") for tree in verdicts}
        waiting = [slug for slug in slugs(folder.resolve().parents[1] / FOLDER) if slug not in published]
        text = f"{before}{START}\n{section(verdicts, base, waiting)}\n{END}{after}"
    boards = {name_of(tree): tree for tree in verdicts if tree.get("standings")}

    def board(match: re.Match[str]) -> str:
        if match[2] not in boards:
            known = ", ".join(boards) or "none"
            raise ConfigError(f"{file}: no leaderboard {match[2]} is published", f"Published: {known}")
        return f"{match[1]}{leaderboard(boards[match[2]], base)}\n{match[3]}"

    return MARKED.sub(board, text)


def path_from(file: Path, folder: Path) -> str:
    """Return the relative path from a file to a folder, with a slash at its end."""
    return Path(os.path.relpath(folder.resolve(), file.resolve().parent)).as_posix() + "/"


def stale(files: Sequence[Path], verdicts: Sequence[VerdictDocument], folder: Path) -> list[Path]:
    """Return the files that are not up to date with the verdicts."""
    return [file for file in files if file.read_text(encoding="utf-8") != rewritten(file, verdicts, folder)]


def write(files: Sequence[Path], verdicts: Sequence[VerdictDocument], folder: Path) -> list[Path]:
    """Update each file, unless one of them raises ConfigError."""
    texts = [rewritten(file, verdicts, folder) for file in files]
    return [write_text(file, text) for file, text in zip(files, texts, strict=True)]
