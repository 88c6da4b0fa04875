"""Pictures inside the page, up to a number and a size."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from optbench.files import read_bytes
from optbench.reports.model.content import Picture
from optbench.reports.model.document import Places
from optbench.reports.render.html.markup import join, tag
from optbench.reports.render.html.table import contender

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass
class Album:
    """The pictures and bytes that a page may still take."""

    pictures: int = 60
    bytes: int = 1_200_000

    def take(self, path: Path) -> str | None:
        """Return a PNG file as a data address; None where it cannot be read, is no PNG, or there is no more room."""
        try:
            content = read_bytes(path, limit=self.bytes) if self.pictures > 0 else b""
        except OSError:
            return None
        if not content.startswith(SIGNATURE):
            return None
        self.pictures -= 1
        self.bytes -= len(content)
        return "data:image/png;base64," + base64.b64encode(content).decode()


def gallery(album: Album, pictures: Sequence[Picture], places: Places, root: Path) -> Markup:
    """Return pictures by contender, run and step. The latest are taken while there is room, and the others counted."""
    shown: list[tuple[Picture, str]] = []
    for picture in by_worth(pictures):
        address = album.take(root / picture.path)
        if address:
            shown.append((picture, address))
    shown.sort(key=lambda one: (places.get(one[0].contender, len(places)), one[0].run_id, one[0].name, one[0].step))
    figures = [drawn(picture, address, places) for picture, address in shown]
    left = len(pictures) - len(shown)
    note = (
        f"{left} of {len(pictures)} pictures are not shown here: they are too many, too large or not readable."
        if left
        else None
    )
    return join(
        [tag("div", *figures, class_="gallery") if figures else None, tag("p", note, class_="note") if note else None]
    )


def by_worth(pictures: Sequence[Picture]) -> list[Picture]:
    """Return the last picture of each run first, of the contenders by turns, then the last but one, and so on."""
    of_run: dict[tuple[str, str, str], list[Picture]] = {}
    for picture in pictures:
        of_run.setdefault((picture.contender, picture.run_id, picture.name), []).append(picture)
    turns: list[tuple[int, int, Picture]] = []
    seen: dict[str, int] = {}
    for key in sorted(of_run):
        nth = seen[key[0]] = seen.get(key[0], -1) + 1  # runs of a contender
        latest_first = sorted(of_run[key], key=lambda p: -p.step)
        turns += [(place, nth, picture) for place, picture in enumerate(latest_first)]
    return [picture for _, _, picture in sorted(turns, key=lambda turn: turn[:2])]


def drawn(picture: Picture, address: str, places: Places) -> Markup:
    """Return a picture with its caption."""
    text = f"{picture.name} of {picture.contender}, seed {picture.seed}, step {picture.step}, run {picture.run_id}"
    about = f"{picture.name}, seed {picture.seed}, step {picture.step:,}"
    caption = tag("figcaption", contender(picture.contender, places), tag("small", about))
    return tag("figure", tag("img", src=address, alt=text, title=text), caption)
