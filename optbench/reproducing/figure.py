"""The pictures of a published claim: its evidence, and the runs behind its first criterion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.reports.model.document import ACROSS

if TYPE_CHECKING:
    from optbench.reports.model.content import Claim, Report
    from optbench.reports.model.document import Chapter, Document
    from optbench.reports.model.figure import Figure

EVIDENCE, BEHIND = "figure.png", "runs.png"
USUAL = ("leaderboard",)
KINDS = {  # figures by measure; the first with data is drawn
    "trial_sd": ("sensitivity", "tuning-budget"),
    "lr_sensitivity": ("sensitivity",),
    "separability": ("heat-maps", "sensitivity"),
    "diverged_share": ("sensitivity", "tuning-budget"),
    "iqm": ("standings",),
    "steps_to_target": ("ladder", "val-metric"),
    "seconds_to_target": ("ladder", "val-metric"),
    "train_seconds": ("time",),
    "wall_seconds": ("time",),
    "optimizer_seconds": ("time",),
    "step_ms": ("time",),
    "samples_per_second": ("time",),
    "state_bytes": ("memory",),
    "peak_bytes": ("memory",),
}


def draw(report: Report, claim: Claim, spec: object, folder: Path) -> list[tuple[Path, str]]:
    """Draw the figures and return the files, each with its title. `spec`: `claim:` of the study file. Raises
    StorageError."""
    from optbench.reports.model.chapters import document
    from optbench.reports.render.figures import draw as draw_figure
    from optbench.store import storage_errors

    made = document(report)
    wanted = [(EVIDENCE, "the claim's criteria", figure) for _, figure in figures_of(made) if figure.key == "claim"]
    if behind := runs_of(made, claim, spec):
        wanted.append((BEHIND, *behind))
    with storage_errors(folder):
        for name in (EVIDENCE, BEHIND):
            (folder / name).unlink(missing_ok=True)
        for name, _, figure in wanted:
            draw_figure(figure, made.places, [folder / name])
    return [(folder / name, title) for name, title, _ in wanted]


def figures_of(made: Document) -> Iterator[tuple[Chapter, Figure]]:
    """Yield every figure with its chapter."""
    return ((chapter, figure) for chapter in made.chapters for _, figure in chapter.figures)


def runs_of(made: Document, claim: Claim, spec: object) -> tuple[str, Figure] | None:
    """Return (title, figure) of the first figure there is of those that suit the claim's first criterion; of all
    workloads together, else of the workload that the criterion is on."""
    first = claim.criteria[0] if claim.criteria else None
    workloads = [evidence.where for evidence in first.evidence] if first else []

    def distance(found: tuple[Chapter, Figure]) -> int:
        chapter, _ = found
        return 0 if chapter.key == ACROSS else 1 if any(name.startswith(chapter.title) for name in workloads) else 2

    for key in (*kinds_of(first.measure if first else "", spec), *USUAL):
        for chapter, figure in sorted(figures_of(made), key=distance):
            if figure.key == key:
                return f"{chapter.title}: {figure.title}", figure
    return None


def kinds_of(measure: str, spec: object) -> Iterator[str]:
    """Yield the kinds of figures that show a measure; the ladder first if a criterion names budgets."""
    criteria = spec if isinstance(spec, list) else [spec]
    sides = [side for one in criteria if isinstance(one, Mapping) for side in (one.get("of"), one.get("against"))]
    if any(isinstance(side, Mapping) and "budget" in side for side in sides):
        yield "ladder"
    yield from KINDS.get(measure, ())
