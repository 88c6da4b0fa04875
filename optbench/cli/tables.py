"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optbench.errors import printable


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows with equal keys as a table. On a terminal long cells wrap; in a pipe lines stay whole."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, emoji=False)
    names = list(rows[0] if rows else ())
    shown = [[printable(name) for name in names], *([printable(row[name]) for name in names] for row in rows)]
    if not console.is_terminal:
        widths = (max(map(len, column)) for column in zip(*shown, strict=True))
        console.width = max(80, 16 + sum(3 + width for width in widths))
    drawn = Table(title=printable(title) or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in shown[0]:
        drawn.add_column(name, overflow="fold")
    for row in shown[1:]:
        drawn.add_row(*map(Text, row))
    console.print(drawn)
