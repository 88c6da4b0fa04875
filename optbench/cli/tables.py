"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows with equal keys as a table. On a terminal long cells wrap; in a pipe lines stay whole."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        names = rows[0] if rows else ()
        console = Console(
            width=max(80, 16 + sum(3 + max(len(name), *(len(str(r[name])) for r in rows)) for name in names))
        )
    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0] if rows else ():
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(value)) for value in row.values()))
    console.print(drawn)
