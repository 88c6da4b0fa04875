"""Figures of a report for papers and repositories: PNG, SVG and PDF, drawn by matplotlib."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.files import read_json_file
from optbench.reports.model.document import Document, Places
from optbench.reports.model.figure import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

HASHES = ".drawn.json"  # of what each file was drawn from, in the folder of the figures
ENDINGS = ("png", "svg", "pdf")


def write_figures(document: Document, folder: Path, endings: Sequence[str] = ENDINGS[:2]) -> list[Path]:
    """Draw every figure as FOLDER/NAME.ENDING and return the files. One whose data have not changed is left as it is;
    those of an earlier report that are not drawn any more are removed.

    Raises StorageError where the folder cannot be written."""
    from optbench.reports.render.figures.style import VERSION
    from optbench.store import storage_errors, write_atomically

    places, figures = document.places, dict(document.figures)
    hashes = {name: hashlib.sha256(repr((VERSION, one, places)).encode()).hexdigest() for name, one in figures.items()}
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        before = drawn_before(folder)
        now = {file: was for file, was in before.items() if Path(file).stem in figures}
        for name, figure in figures.items():
            files = [folder / f"{name}.{ending}" for ending in endings]
            stale = [file for file in files if before.get(file.name) != hashes[name] or not file.exists()]
            if stale:
                draw(figure, places, stale)
            now |= {file.name: hashes[name] for file in files}
        for file in before.keys() - now.keys():
            (folder / file).unlink(missing_ok=True)
        if now != before:
            write_atomically(folder / HASHES, lambda out: out.write(json.dumps(now, indent=1).encode()))
    return [folder / f"{name}.{ending}" for name in figures for ending in endings]


def draw(figure: Figure, places: Places, files: list[Path]) -> None:
    """Draw one figure into its files."""
    from optbench.reports.render.figures.style import save, style
    from optbench.store import write_atomically

    with style():
        made = drawn(figure, places)
        for file in files:
            write_atomically(file, lambda out, file=file: save(made, out, file.suffix[1:]))


def drawn(figure: Figure, places: Places) -> Drawn:
    """Draw one figure. `places`: of each contender among all, which gives it its colour."""
    from optbench.reports.model import figure as kinds
    from optbench.reports.render.figures import bars, forest, heat, lines, standings
    from optbench.reports.render.figures.style import style

    drawers = {
        kinds.Lines: lines.lines,
        kinds.LinePanels: lines.line_panels,
        kinds.Curves: lines.curves,
        kinds.Bars: bars.bars,
        kinds.Intervals: bars.intervals,
        kinds.Panels: bars.panels,
        kinds.HeatMaps: heat.heat,
        kinds.Claim: forest.forest,
        kinds.Across: standings.standings,
    }
    with style():
        return drawers[type(figure.data)](figure.data, places)


def drawn_before(folder: Path) -> dict[str, str]:
    """Return the hashes of what the files of figures in a folder were drawn from."""
    try:
        found = read_json_file(folder / HASHES)
    except (OSError, ValueError):
        return {}
    known = found.items() if isinstance(found, dict) else ()
    return {k: str(v) for k, v in known if Path(k).name == k and Path(k).suffix[1:] in ENDINGS}
