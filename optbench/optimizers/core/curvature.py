"""Access to the curvature that second-order optimizers need."""

from __future__ import annotations

from optbench.contracts import Curvature, Problem


def curvature_of(problem: Problem) -> Curvature:
    """Return the problem's curvature. Raises TypeError if the problem has none."""
    if problem.curvature is None:
        raise TypeError("this optimizer needs a Problem with curvature")
    return problem.curvature
