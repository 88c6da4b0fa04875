"""The progress of all cells of a study: which cells wait for which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from optbench.sweeps.scheduler.cell_progress import DONE, TUNED, CellProgress
from optbench.sweeps.study.cells import FINAL, TUNE, Cell, PlannedRun
from optbench.sweeps.study.study import Study

ROUNDS_OF_EXTENSION = 2
OnEdge = Callable[[CellProgress, list[tuple[str, str]]], None]
"""Called with the edges (key, side) of its box that a cell's winner lies on."""


@dataclass
class StudyProgress:
    """All cells of a study together."""

    study: Study
    cells: list[CellProgress]
    on_edge: OnEdge = lambda cell, edges: None
    on_extend: Callable[[int], None] = lambda trials: None
    _reported: set[tuple[int, int]] = field(default_factory=set)

    def advance(self, cell: CellProgress) -> list[PlannedRun]:
        """Return the runs that can start now that all released ones of this cell have ended."""
        if cell.stage == TUNE:
            released = cell.release()
            if cell.stage == TUNE:
                return released
            self._report_edges(cell)
        if cell.stage == TUNED:
            if not self._wait_for_all:
                return self._finals([cell], lambda c: True)
            if all(c.stage == TUNED for c in self.cells):
                return self._all_tuned()
            return []
        if cell.stage == FINAL:
            cell.stage = DONE
        return []

    @property
    def _wait_for_all(self) -> bool:
        """True if the cells wait for one another at the end of the tuning."""
        return self.study.extend_edges or self.study.finalists == "best"

    def _report_edges(self, cell: CellProgress) -> None:
        edges, key = cell.edges(), (cell.cell.number, cell.extensions)
        if edges and key not in self._reported:
            self._reported.add(key)
            self.on_edge(cell, edges)

    def _all_tuned(self) -> list[PlannedRun]:
        extensions = self.cells[0].extensions
        if self.study.extend_edges and extensions < ROUNDS_OF_EXTENSION and any(c.edges() for c in self.cells):
            count = self.study.extension_trials
            self.on_extend(count)
            for cell in self.cells:
                cell.extend(count)
            return [run for cell in self.cells for run in self.advance(cell)]
        best = self._best()
        return self._finals(self.cells, lambda cell: best is None or cell is best)

    def _best(self) -> CellProgress | None:
        """Return the only cell with final runs, or None if every cell has its own."""
        if self.study.finalists != "best":
            return None
        winners = [(w.score, -c.cell.number, c) for c in self.cells if (w := c.winner) and w.score is not None]
        return max(winners)[2] if winners else None

    def _finals(self, cells: Sequence[CellProgress], chosen: Callable[[CellProgress], bool]) -> list[PlannedRun]:
        released: list[PlannedRun] = []
        for cell in cells:
            released += cell.release_finals(chosen(cell))
            if not cell.finals:
                cell.stage = DONE
        return released

    @property
    def is_done(self) -> bool:
        """True if there is nothing left to run."""
        return all(cell.stage == DONE for cell in self.cells)


def runs_by_cell(study: Study, cells: Sequence[Cell]) -> dict[int, int]:
    """Return the number of runs of each cell, by its number, without extensions.

    With finalists=best one cell has final runs, and nobody knows which: they are left out."""
    finals = study.seeds if study.finalists == "each" else 0
    return {
        c.number: (study.tuning_runs(study.tried) if len(c.box) else 0 if study.seeds else study.tune_seeds) + finals
        for c in cells
    }


def total_runs(study: Study, cells: Sequence[Cell]) -> int:
    """Return the number of runs of a study without extensions."""
    return sum(runs_by_cell(study, cells).values()) + (study.seeds if study.finalists == "best" else 0)
