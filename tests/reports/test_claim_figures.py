"""Forest plots of claims, heat maps, standings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_report import made_claim, made_criterion, made_report

from optbench.reports.model.content import Claim, Evidence, Workload
from optbench.reports.model.figure import Figure, HeatMaps
from optbench.reports.model.sections.sensitivity import heat_maps
from optbench.reports.model.sections.whole import claim as claim_chapter
from optbench.reports.render.figures.forest import COLOURS, HOLDS, MOST, forest
from optbench.reports.render.figures.heat import CELLS, heat, nearest
from optbench.reports.render.figures.standings import standings
from optbench.reports.render.figures.style import style


def forest_of(relation: str, margin: float = 0.1, measure: str = "test_metric", low: float = 0.2, high: float = 0.6):
    """Return the axes of one criterion with one interval."""
    evidence = (Evidence("w", True, "words", low, high, 5, value=(low + high) / 2),)
    claim = replace(made_claim(("a", "b")), criteria=(made_criterion("a", measure, relation, margin, True, evidence),))
    with style():
        return forest(claim, {}).axes[0]


def has_figure(claim: Claim) -> bool:
    return any(claim_chapter(claim).figures)


def maps(workload: Workload) -> HeatMaps | None:
    """Return the heat maps of a workload."""
    found = [part.data for part in heat_maps(workload).parts if isinstance(part, Figure)]
    return found[0] if found and isinstance(found[0], HeatMaps) else None


def shaded(axes) -> tuple[float, float]:
    """Return the ends of the region in which the criterion holds."""
    (patch,) = (
        patch
        for patch in axes.patches
        if patch.get_facecolor()[:3] == tuple(int(HOLDS[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    box = patch.get_extents().transformed(axes.transData.inverted())
    return box.x0, box.x1


@pytest.mark.parametrize(
    ("relation", "low", "high"),
    [
        ("better", 0.1, None),
        ("better_by", 0.1, None),
        ("not_worse", -0.1, None),
        ("worse", None, -0.1),
        ("worse_by", None, -0.1),
        ("not_better", None, 0.1),
        ("tie", -0.1, 0.1),
    ],
)
def test_the_region_is_where_the_relation_holds(relation: str, low: float | None, high: float | None) -> None:
    axes = forest_of(relation)
    start, end = shaded(axes)
    assert start == pytest.approx(axes.get_xlim()[0] if low is None else low, abs=1e-9)
    assert end == pytest.approx(axes.get_xlim()[1] if high is None else high, abs=1e-9)


def test_a_ratio_has_factors_for_ticks_and_its_margin_as_a_logarithm() -> None:
    axes = forest_of("better_by", 0.9, "state_bytes", float(np.log(2)), float(np.log(2)))
    assert shaded(axes)[0] == pytest.approx(np.log(1.9))
    named = {tick.get_text(): at for tick, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert (
        named["1"] == 0 and named["1.5"] == pytest.approx(np.log(1.5)) and named["1/1.5"] == pytest.approx(-np.log(1.5))
    )
    assert len(named) < 12


@pytest.mark.parametrize("reach", [1e-4, 0.03, 0.5, 3.0, 30.0, 600.0])
def test_any_ratio_has_some_ticks_and_not_too_many(reach: float) -> None:
    ticks = forest_of("better", 0.0, "train_loss", -reach, reach).get_xticks()
    assert 1 <= len(ticks) <= 11 and 0.0 in ticks


def test_rows_are_in_order_and_open_ends_are_arrows() -> None:
    claim = made_claim(("a", "b"))
    with style():
        above, below = forest(claim, {}).axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["a is as good\nmlp on digits"]
    markers = {line.get_marker() for line in below.lines}
    assert ">" in markers and "<" not in markers
    silent = replace(claim, criteria=(made_criterion("a", "iqm", "tie", 0.1, None, (Evidence("w", None, "none"),)),))
    assert has_figure(claim) and not has_figure(silent)


def test_a_claim_of_hundreds_of_criteria_is_drawn_in_part() -> None:
    evidence = tuple(Evidence(f"w{n}", True, "words", 0.1, 0.2, 5, value=0.15) for n in range(300))
    claim = replace(made_claim(("a", "b")), criteria=(made_criterion("a", "iqm", "better", 0.1, True, evidence),))
    with style():
        assert len(forest(claim, {}).axes[0].get_yticks()) == MOST


def test_every_point_of_a_map_has_the_value_of_the_nearest_trial() -> None:
    x, y, values = [1e-4, 1e-1, 1e-4], [1e-3, 1e-3, 1.0], [1.0, 2.0, 3.0]
    columns, rows, painted = nearest(x, y, values)
    assert painted.shape == (CELLS, CELLS) and len(columns) == len(rows) == CELLS + 1
    assert painted[0, 0] == 1.0 and painted[0, -1] == 2.0 and painted[-1, 0] == 3.0
    assert columns[0] < 1e-4 and columns[-1] > 1e-1
    middle = CELLS // 2  # in logarithms
    assert painted[0, middle - 5] == 1.0 and painted[0, middle + 5] == 2.0


def test_decay_rates_are_spread_by_their_distance_from_one() -> None:
    rates, betas = [1e-3, 1e-3, 1e-2], [0.9, 0.9999, 0.99]
    rows = nearest(rates, betas, [1.0, 2.0, 3.0])[1]
    assert rows[CELLS // 3] < 0.99 < rows[CELLS // 3 + 4] and rows[-1] > 0.9999, "0.99 is a third of the way up"
    workload = made_report().workloads[0]
    one = replace(workload.sensitivity[0], second="optimizer.betas.1")
    spread = tuple(np.linspace(0.9, 0.999, len(one.x)).tolist())
    data = maps(replace(workload, sensitivity=(replace(one, y=spread),)))
    assert data
    with style():
        axes = heat(data, {}).axes[0]
        axes.figure.canvas.draw()
    assert axes.get_yscale() == "logit" and axes.get_xscale() == "log"
    assert {"0.9", "0.99"} <= {label.get_text() for label in axes.get_yticklabels()}


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_failed_trial_has_the_colour_of_the_worst(direction: str) -> None:
    workload = made_report().workloads[0]
    found = workload.sensitivity[:2]
    data = maps(replace(workload, direction=direction, sensitivity=found))
    assert data
    with style():
        panels = heat(data, {}).axes
    assert len(panels) == 3 and [panel.get_title() for panel in panels[:2]] == [of.contender for of in found]
    painted = np.asarray(panels[0].collections[0].get_array())
    known = [value for of in found for value in of.value if value is not None]
    assert (min(known) if direction == "max" else max(known)) in painted
    assert panels[0].get_xlabel() == "optimizer.lr" and panels[0].get_ylabel() == "optimizer.weight_decay"


def test_many_maps_stand_in_rows_and_a_rate_of_zero_has_none() -> None:
    workload = made_report().workloads[0]
    one = workload.sensitivity[0]
    data = maps(replace(workload, sensitivity=tuple(replace(one, contender=f"c{n}") for n in range(7))))
    assert data
    with style():
        figure = heat(data, {})
    assert len(figure.axes) == 8 and figure.get_size_inches()[0] < 14 and figure.get_size_inches()[1] > 9
    without = (replace(one, x=(0.0, *one.x[1:])), replace(one, y=()))
    assert maps(replace(workload, sensitivity=without)) is None
    data = maps(replace(workload, sensitivity=(one, *without)))
    assert data and data.maps == (one,)


def test_the_best_stands_on_top_with_its_scores_by_workload() -> None:
    across = made_report().across
    assert across is not None
    with style():
        left, right = standings(across, {}).axes
    names = [label.get_text() for label in left.get_yticklabels()]
    best = max(across.scores, key=lambda score: score.mean.value or 0.0)
    assert names[-1] == best.contender
    (image,) = right.images
    workloads = [label.get_text() for label in right.get_xticklabels()]
    assert set(workloads) == set(best.by_workload)
    assert list(image.get_array()[-1]) == [best.by_workload[name] for name in workloads]
    written = {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in right.texts}
    assert written[0, len(names) - 1] == f"{best.by_workload[workloads[0]]:.2f}"


def test_standings_without_scores_by_workload_have_one_panel() -> None:
    across = made_report().across
    assert across is not None
    bare = replace(across, scores=tuple(replace(one, by_workload={}) for one in across.scores))
    with style():
        assert len(standings(bare, {}).axes) == 1


def test_a_row_that_cannot_be_tested_is_told_from_an_undecided_one() -> None:
    evidence = (Evidence("u", None, "w", -0.1, 0.1, 5), Evidence("v", None, "w", -0.1, 0.1, 5, testable=False))
    criterion = made_criterion("a", "test_metric", "better", 0.2, None, evidence)
    with style():
        figure = forest(replace(made_claim(("a", "b")), criteria=(criterion,)), {})
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["undecided", "not testable here"]
    colours = {line.get_color() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 2}
    assert {COLOURS[label] for label in labels[:2]} <= colours
