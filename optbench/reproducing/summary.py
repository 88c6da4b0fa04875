"""The table of the published verdicts, between two marks of README.md and of results/README.md."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError
from optbench.report.writing import write_text

START, END = "<!-- results -->", "<!-- /results -->"
HEADER = ("claim", "scale", "verdict", "seeds", "evidence", "device")
LONGEST = 300  # characters of the evidence of a row


def section(verdicts: Sequence[Mapping[str, Any]], base: str) -> str:
    """What stands between the marks. `base`: the way from the file to the folder of the verdicts."""
    if not verdicts:
        return "No claim has been published yet."
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += ["| " + " | ".join(row(tree, base)) + " |" for tree in verdicts]
    counts = [f"{word} {sum(tree['verdict'] == word for tree in verdicts)}" for word in words_of(verdicts)]
    return "\n".join([*lines, "", f"Of {len(verdicts)} verdicts: {', '.join(counts)}."])


def words_of(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The verdicts that occur, the good ones first."""
    order = ("supported", "not supported", "inconclusive")
    return [word for word in order if any(tree["verdict"] == word for tree in verdicts)]


def row(tree: Mapping[str, Any], base: str) -> list[str]:
    """One verdict."""
    name = "-".join(word for word in (tree["slug"], tree.get("scale")) if word)
    seeds = "" if tree.get("seeds") is None else f"{tree['seeds']}{' (few)' if tree.get('few_seeds') else ''}"
    evidence = "; ".join(f"{one['statement']}: {one['words']}" for one in tree["criteria"])
    short = evidence if len(evidence) <= LONGEST else evidence[: LONGEST - 1].rsplit(" ", 1)[0] + " …"
    linked = f"[{tree['slug']}]({base}{name}/report.md): {cell(tree['title'])}"
    return [
        linked,
        tree.get("scale") or "",
        f"**{tree['verdict']}**",
        seeds,
        cell(short),
        cell(tree.get("device") or ""),
    ]


def cell(words: str) -> str:
    """Text that leaves a table whole."""
    return " ".join(str(words).split()).replace("|", "\\|").replace("<", "&lt;")


def rewritten(file: Path, verdicts: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The file's text with the section as it should be. Raises ConfigError where it has no marks."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ConfigError(f"{file}: has no section to write", f"Put {START} and {END} where the table shall stand")
    return f"{before}{START}\n{section(verdicts, way_to(folder, file))}\n{END}{after}"


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
