r"""Tables of a report as LaTeX, for papers: a file each, to be \input, with the rules of booktabs."""

from __future__ import annotations

from collections.abc import Iterator

from optbench.reports.model.cells import texts
from optbench.reports.model.document import OVERVIEW, Document
from optbench.reports.model.table import Table

SPECIAL = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "|": r"$|$",
        "\u2212": "$-$",
        "\u00b1": r"$\pm$",
        "\u00d7": r"$\times$",
        "\u2191": r"$\uparrow$",
        "\u2193": r"$\downarrow$",
        "\u2264": r"$\leq$",
        "\u2265": r"$\geq$",
        "\u2013": "--",
        "\u2026": r"\ldots{}",
    }
)


def latex_tables(document: Document) -> dict[str, str]:
    """Return every table that Markdown has too, by the name of its file without an ending."""
    found = {}
    for name, table in named(document):
        if shown := table.shown_in("markdown"):
            number = sum(other == name or other.startswith(f"{name}-") for other in found)
            found[f"{name}-{number + 1}" if number else name] = latex(shown)
    return found


def named(document: Document) -> Iterator[tuple[str, Table]]:
    """Yield the tables of the first screen and of all chapters, with their names."""
    yield OVERVIEW, document.overview.standings
    for chapter in document.chapters:
        for section in chapter.sections:
            for part in section.parts:
                if isinstance(part, Table):
                    yield f"{chapter.figures_start}-{section.key}", part


def latex(table: Table) -> str:
    """Return a table without its title, which is a comment as its note is; the paper has a caption of its own."""
    aligned = "".join("r" if column.right else "l" for column in table.columns)
    head, *rows = [[column.whole_title for column in table.columns], *texts(table)]
    lines = [f"% {comment(table.title)}", rf"\begin{{tabular}}{{{aligned}}}", r"\toprule", line(head), r"\midrule"]
    lines += [*map(line, rows), r"\bottomrule", r"\end{tabular}", *([f"% {comment(table.note)}"] if table.note else [])]
    return "\n".join(lines) + "\n"


def line(cells: list[str]) -> str:
    """Return a row."""
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_text(words: str) -> str:
    """Return words in one line, with nothing in them that TeX would act on."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in words).split()).translate(SPECIAL)
    return f"{{}}{plain}" if plain.startswith("[") else plain  # after a row's end, TeX would read [ as a length


def comment(words: str) -> str:
    """Return words in one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())
