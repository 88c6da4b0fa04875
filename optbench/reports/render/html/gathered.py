"""What is gathered while a page is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optbench.reports.model.content import Report
from optbench.reports.render.html.palette import Palette
from optbench.reports.render.html.pictures import Album
from optbench.reports.render.html.tags import Markup, tag


@dataclass
class Page:
    """What is gathered while a page is written: the figures' data, the table of contents."""

    report: Report
    names: Palette
    root: Path
    album: Album
    points: tuple[int, int]
    """of each band and of each single run"""
    figures: list[dict[str, Any]] = field(default_factory=list)
    contents: list[tuple[int, str, str]] = field(default_factory=list)
    """(level, id, title)"""

    def figure(self, data: dict[str, Any] | None, caption: str) -> Markup | None:
        """The place of a figure; page.js draws it there."""
        if data is None:
            return None
        self.figures.append(data)
        plot = tag("div", class_="plot", data_figure=len(self.figures) - 1, role="img", aria_label=caption)
        return tag("figure", plot, tag("figcaption", caption))

    def part(self, key: str, title: str, *children: Markup | None) -> Markup | None:
        """A section below a workload, or nothing where it would be empty."""
        if not any(children):
            return None
        self.contents.append((3, key, title))
        return tag("section", tag("h3", title), *children, id=key)
