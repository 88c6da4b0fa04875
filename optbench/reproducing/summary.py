"""What README.md and results/README.md show of the published verdicts, between marks that are written anew.

<!-- results --> ... <!-- /results -->                 the table of the verdicts
<!-- leaderboard NAME --> ... <!-- /leaderboard -->    the leaderboard of results/claims/NAME"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError
from optbench.reports.render.write import write_text

START, END = "<!-- results -->", "<!-- /results -->"
MARKED = re.compile(r"(<!-- leaderboard ([\w.-]+) -->\n).*?(<!-- /leaderboard -->)", re.DOTALL)
HEADER = ("claim", "verdict", "seeds", "what decided it", "scale, device")
BOARD = ("", "contender", "interquartile mean", "comes first", "speed", "state")
LONGEST = 200  # characters of the evidence of a row
SHORTENED = re.compile(r", n = \d+ \w+$")


def section(verdicts: Sequence[Mapping[str, Any]], base: str) -> str:
    """The table of the verdicts. `base`: the way from the file to the folder of the verdicts."""
    if not verdicts:
        return "No claim has been published yet."
    counts = [f"{word} {sum(tree['verdict'] == word for tree in verdicts)}" for word in words_of(verdicts)]
    return "\n".join([*table(HEADER, [row(tree, base) for tree in verdicts]), "", ending(len(verdicts), counts)])


def ending(count: int, counts: Sequence[str]) -> str:
    """All verdicts in a line."""
    return f"Of {count} verdicts: {', '.join(counts)}."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def words_of(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The verdicts that occur, the good ones first."""
    order = ("supported", "not supported", "inconclusive")
    return [word for word in order if any(tree["verdict"] == word for tree in verdicts)]


def name_of(tree: Mapping[str, Any]) -> str:
    """The folder of a verdict."""
    return "-".join(word for word in (tree["slug"], tree.get("scale")) if word)


def row(tree: Mapping[str, Any], base: str) -> list[str]:
    """One verdict."""
    seeds = "" if tree.get("seeds") is None else f"{tree['seeds']}{' (few)' if tree.get('few_seeds') else ''}"
    linked = f"[{tree['slug']}]({base}{name_of(tree)}/report.md): {cell(tree['title'])}"
    where = ", ".join(cell(word) for word in (tree.get("scale"), tree.get("device")) if word)
    return [linked, f"**{tree['verdict']}**", seeds, cell(decisive(tree)), where]


def decisive(tree: Mapping[str, Any]) -> str:
    """How many criteria hold, and the first that made the verdict what it is."""
    criteria = tree["criteria"]
    of_its_kind = [one for one in criteria if one.get("holds") is tree.get("holds")] or criteria
    held = sum(one.get("holds") is True for one in criteria)
    count = f"{held} of {len(criteria)} hold; " if len(criteria) > 1 else ""
    one = of_its_kind[0]
    places = [place for place in one.get("evidence") or () if place.get("holds") is tree.get("holds")]
    words = SHORTENED.sub("", places[0]["words"]) if places else one["words"]
    where = f" ({places[0]['where']})" if places and len(one["evidence"]) > 1 else ""
    said = f"{count}{one.get('text') or one['statement']}{where}: {words}"
    return said if len(said) <= LONGEST else said[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


def leaderboard(tree: Mapping[str, Any], base: str) -> str:
    """The contenders of a study over all of its workloads."""
    workloads = list(tree["standings"][0]["ranks"])
    head = [*BOARD[:4], *(f"rank on {name}" for name in workloads), *BOARD[4:]]
    rows = [
        [
            str(place),
            f"`{one['contender']}`",
            f"{one['iqm']['value']:.2f}{interval(one['iqm'])}",
            "" if one["first"] is None else f"{100 * one['first']:.0f} %",
            *(spoken_range(one["ranks"][name]) for name in workloads),
            share(one["speed"]),
            share(one["state"]),
        ]
        for place, one in enumerate(tree["standings"], 1)
    ]
    way = f"{base}{name_of(tree)}"
    lines = [f"![{tree['title']}]({way}/runs.png)", "", *table(head, rows), ""]
    where = ", ".join(word for word in (tree.get("device"), f"{tree.get('seeds')} seeds") if word)
    lines += [f"`{tree.get('command') or tree['slug']}` ({where}): [report]({way}/report.md). **{verdict_of(tree)}**"]
    return "\n".join(lines)


def verdict_of(tree: Mapping[str, Any]) -> str:
    """The claim with its verdict."""
    return f"{cell(tree['title'])}: {tree['verdict']}."


def interval(of: Mapping[str, Any]) -> str:
    """The ends of an estimate."""
    return "" if of["low"] is None or of["high"] is None else f" [{of['low']:.2f}, {of['high']:.2f}]"


def spoken_range(ranks: Sequence[int]) -> str:
    """3, or 1-4."""
    low, high = ranks
    return str(low) if low == high else f"{low}-{high}"


def share(value: float | None) -> str:
    """Times the reference's."""
    return "" if value is None else f"{value:.2f} x"


def cell(words: str) -> str:
    """Text that leaves a table whole."""
    return " ".join(str(words).split()).replace("|", "\\|").replace("<", "&lt;")


def rewritten(file: Path, verdicts: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The file's text with everything between marks as it should be. Raises ConfigError where it has no marks, or one
    for a leaderboard that is not there."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ConfigError(f"{file}: has no section to write", f"Put {START} and {END} where the table shall stand")
    base = way_to(folder, file)
    whole = f"{before}{START}\n{section(verdicts, base)}\n{END}{after}"
    boards = {name_of(tree): tree for tree in verdicts if tree.get("standings")}

    def board(match: re.Match[str]) -> str:
        if match[2] not in boards:
            raise ConfigError(
                f"{file}: no leaderboard {match[2]} is published", f"There: {', '.join(boards) or 'none'}"
            )
        return f"{match[1]}{leaderboard(boards[match[2]], base)}\n{match[3]}"

    return MARKED.sub(board, whole)


def way_to(folder: Path, file: Path) -> str:
    """The relative path of a folder as seen from a file, with a slash at its end."""
    return Path(os.path.relpath(folder.resolve(), file.resolve().parent)).as_posix() + "/"


def stale(files: Sequence[Path], verdicts: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """The files whose section is not what the verdicts say."""
    return [file for file in files if file.read_text(encoding="utf-8") != rewritten(file, verdicts, folder)]


def write(files: Sequence[Path], verdicts: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the section of each file; all of them are looked at first."""
    texts = [rewritten(file, verdicts, folder) for file in files]
    return [write_text(file, text) for file, text in zip(files, texts, strict=True)]
