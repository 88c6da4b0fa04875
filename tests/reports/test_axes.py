"""What changes along a numeric axis of a study: which workloads make one, its chapter in every output, its measures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_report import made_report
from test_claims import Made, around, claim

from optbench.config.claims import criteria_of
from optbench.errors import ConfigError
from optbench.reports.claims.axes import along, numeric_axes
from optbench.reports.model.axes import Axis, AxisPoint, AxisSpan
from optbench.reports.model.chapters import document
from optbench.reports.model.figure import LinePanels, Lines
from optbench.reports.model.rows import Estimate

RATES = (1e-3, 1e-2, 1e-1, 1.0)
WORKLOAD = ("model", "batch_size", "model.width")


def widths(best: Mapping[float, int], *, spread: float = 1.0, tune: str = "optimizer.lr", **more: Any) -> Made:
    """Return adamw at each width; its metric falls by a tenth for each rate away from the best one."""
    made = Made()
    for width, place in best.items():
        values = [0.9 - 0.1 * abs(i - place) for i in range(len(RATES))]
        trials = [({tune: rate}, value) for rate, value in zip(RATES, values, strict=True)]
        finals = [0.9 + spread * (value - 0.9) for value in around(0.9)]
        made.cell({"optimizer": "adamw", "model.width": width}, finals, trials, workload=WORKLOAD, **more)
        made.cells["made", f"optimizer=adamw model.width={width} x1"]["winner"] = place
        for run in made.runs:
            if run["stage"] == "final" and f"model.width={width} " in run["cell"]:
                run["trial"] = place
    return made


@pytest.fixture
def grid() -> Made:
    """Return two contenders on two models at three batch sizes."""
    made = Made()
    for model in ("mlp", "vit"):
        for name in ("adamw", "lion"):
            for batch, mean in ((8, 0.9), (64, 0.9), (512, 0.7)):
                choices = {"optimizer": name, "model": model, "batch_size": batch}
                made.cell(choices, around(mean), workload=WORKLOAD)
    return made


def test_an_axis_joins_what_differs_in_one_key(grid: Made) -> None:
    assert numeric_axes(grid.sides) == ["batch_size"]
    found = along(grid.sides, "batch_size")
    assert sorted((side.axes["model"], side.contender.name) for side in found) == [
        (model, name) for model in ("mlp", "vit") for name in ("adamw", "lion")
    ]
    assert all([cell.axes["batch_size"] for cell in side.along] == ["8", "64", "512"] for side in found)
    assert {side.workload for side in found} == {"mlp model=mlp", "mlp model=vit"}
    assert all("batch_size" not in side.axes for side in found)


def test_only_the_wanted_values_and_contenders_that_have_them_all(grid: Made) -> None:
    found = along(grid.sides, "batch_size", (8, 64))
    assert len(found) == 4 and all(len(side.along) == 2 for side in found)
    assert along(grid.sides, "batch_size", (8, 128)) == []


def test_words_one_value_and_settings_of_an_optimizer_are_no_axis() -> None:
    made = Made()
    for beta in (0.9, 0.99):
        made.cell({"optimizer": "adamw", "batch_size": 8, "optimizer.beta": beta}, around(0.9))
    made.cell({"optimizer": "adamw", "batch_size": "auto", "optimizer.beta": 0.9}, around(0.9))
    assert numeric_axes(made.sides) == []


def test_an_axis_of_budgets_is_the_ladder_and_no_axis() -> None:
    made = Made()
    for budget in (0.5, 1.0):
        made.cell({"optimizer": "adamw"}, around(budget), budget=budget)
    assert numeric_axes(made.sides) == []


# -- claims ------------------------------------------------------------------------------------------------------------


def test_two_values_of_any_axis_can_be_compared() -> None:
    made = widths({16: 1, 64: 2}, spread=0.01)
    wide, narrow = ({"optimizer": "adamw", "model.width": width} for width in (64, 16))
    assert made.decide(claim(wide, narrow, "tie", margin=0.02)).holds is True
    assert made.decide(claim(wide, narrow, "better_by", margin=0.02)).holds is False


def test_batches_that_tie_and_one_that_does_not(grid: Made) -> None:
    small = {"measure": "axis_span", "along": {"batch_size": [8, 64]}}
    assert grid.decide(claim("adamw", 0, "tie", margin=0.03, **small)).holds is True
    every = {"measure": "axis_span", "along": "batch_size"}
    found = grid.decide(claim("adamw", 0, "tie", margin=0.03, **every))
    assert found.holds is False
    (evidence, _) = found.criteria[0].evidence
    assert evidence.value == pytest.approx(-0.2) and evidence.where == "mlp model=mlp"
    assert grid.decide(claim("adamw", 0.1, "worse", **every)).holds is True
    assert grid.decide(claim("adamw", "lion", "tie", margin=0.1, **small)).holds is True


def test_a_span_with_an_undertuned_value_is_undecided(grid: Made) -> None:
    label = next(label for _, label in grid.cells if "batch_size=64" in label and "adamw" in label)
    grid.cells["made", label]["edges"] = [["optimizer.lr", "high"]]
    found = grid.decide(claim("adamw", 0, "tie", measure="axis_span", margin=0.03, along={"batch_size": [8, 64]}))
    assert found.holds is None and "undertuned" in found.criteria[0].words and "lr on the high edge" in found.sentence


def test_a_span_with_failed_seeds_has_no_interval() -> None:
    made = Made()
    for batch, values in ((8, around(0.9)), (64, [*around(0.9)[:4], None])):
        made.cell({"optimizer": "adamw", "batch_size": batch}, values)
    found = made.decide(claim("adamw", 0, "tie", measure="axis_span", margin=0.5, along="batch_size"))
    assert found.holds is None and "some seeds failed" in found.criteria[0].words


def test_the_cost_of_a_rate_that_does_not_transfer() -> None:
    made = widths({16: 1, 64: 1, 256: 2}, spread=0.01)
    costs = {"measure": "rate_transfer_cost", "along": "model.width"}
    found = made.decide(claim("adamw", 0.05, "worse", **costs))
    assert found.holds is True
    assert found.criteria[0].evidence[0].value == pytest.approx(0.05 - 0.1)
    assert made.decide(claim("adamw", 0.2, "better", **costs)).holds is True
    assert made.decide(claim("adamw", 0.05, "worse", **costs | {"along": {"model.width": [16, 64]}})).holds is False


def test_a_base_on_the_edge_of_the_rates_tells_no_cost() -> None:
    found = widths({16: 0, 64: 1}).decide(claim("adamw", 0.5, measure="rate_transfer_cost", along="model.width"))
    assert found.holds is None and "the base's best rate is the lowest one tried" in found.criteria[0].words


def test_the_largest_value_on_the_edge_bounds_the_cost_from_below() -> None:
    made = widths({16: 1, 64: 3}, spread=0.01)
    costs = {"measure": "rate_transfer_cost", "along": "model.width"}
    assert made.decide(claim("adamw", 0.1, "worse", **costs)).holds is True
    assert made.decide(claim("adamw", 0.5, "better", **costs)).holds is None


def test_a_search_of_more_than_the_rate_is_refused() -> None:
    made = widths({16: 1, 64: 1}, tune="optimizer.weight_decay")
    found = made.decide(claim("adamw", 0.5, measure="rate_transfer_cost", along="model.width"))
    assert found.holds is None and "more than the learning rate was searched" in found.criteria[0].words


def ladders(muon: Mapping[int, Sequence[float]]) -> Made:
    """Return adamw, which reaches 0.4, 0.6 and 0.8 at a quarter, half and all of the budget, and muon at each width."""
    made = Made()
    for width, means in muon.items():
        for name, levels in (("adamw", (0.4, 0.6, 0.8)), ("muon", means)):
            for budget, mean in zip((0.25, 0.5, 1.0), levels, strict=True):
                values = [mean + (value - 0.9) / 5 for value in around(0.9)]
                made.cell({"optimizer": name, "model.width": width}, values, budget=budget, workload=WORKLOAD)
    return made


def test_a_lead_in_data_that_shrinks_with_scale() -> None:
    """Muon's 0.7 at half of the budget is adamw's at 0.71 of it: 1.414 times; at the larger width its 0.6 is 1 time."""
    made = ladders({32: (0.5, 0.7, 0.9), 128: (0.4, 0.6, 0.9)})
    trend = {"measure": "equivalent_budget_trend", "along": "model.width"}
    found = made.decide(claim("muon", "adamw", "worse", **trend))
    assert found.holds is True and found.criteria[0].evidence[0].value == pytest.approx(math.log(2**-0.5), abs=0.01)
    assert made.decide(claim("muon", "adamw", "not_worse", **trend)).holds is False
    label = next(label for _, label in made.cells if "muon" in label and "width=32 x1" in label)
    made.cells["made", label]["edges"] = [["optimizer.lr", "low"]]
    assert "undertuned" in made.decide(claim("muon", "adamw", "worse", **trend)).criteria[0].words


def test_a_lead_that_never_changes_has_a_trend_of_one() -> None:
    made = ladders({32: (0.5, 0.7, 0.9), 128: (0.5, 0.7, 0.9)})
    one = axis_of(made)
    assert [(e.value, e.budget.budget) for e in one.equivalents] == [(32, 0.5), (128, 0.5)]
    assert one.trends["muon"].value == pytest.approx(1.0)
    chapter = next(c for c in document(with_axis(one)).chapters if c.title == "Along model width")
    figure = dict(chapter.figures)["along-model-width-equivalents"]
    assert isinstance(figure.data, Lines) and figure.data.x.log and figure.data.y.log
    for text in texts_of(with_axis(one)):
        assert "trend" in text and "1.41" in text
    tie = claim("muon", "adamw", "tie", "equivalent_budget_trend", margin=0.2, along="model.width")
    assert made.decide(tie).holds is True


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"measure": "axis_span"}, "axis_span needs along"),
        ({"measure": "test_metric", "along": "batch_size"}, "test_metric takes no along"),
        ({"measure": "axis_span", "along": {"batch_size": [8]}}, "expected a key, or a key with two numbers or more"),
        ({"measure": "axis_span", "along": {"batch_size": [8, "many"]}}, "two numbers or more"),
    ],
)
def test_an_axis_that_is_missing_or_wrong_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        criteria_of(claim("adamw", 0.1, **more))


def test_the_statement_names_axis_and_values() -> None:
    (one,) = criteria_of(claim("adamw", 0, "tie", measure="axis_span", margin=0.1, along={"batch_size": [64, 8]}))
    assert one.statement == "adamw is equal to 0 in axis_span along batch_size 8, 64"


# -- the chapter -------------------------------------------------------------------------------------------------------


def axis_of(made: Made) -> Axis:
    """Return the only axis of the report of a study made by hand."""
    from optbench.reports.build.axes import axes
    from optbench.reports.build.report import grouped
    from optbench.reports.build.workload import ReportOptions, workload

    groups = grouped(made.runs)
    options = ReportOptions(records=False)
    found = [workload(name, group, made.cells, None, options, 0).workload for name, group in groups.items()]
    (one,) = axes(made.sides, found, 0.95)
    return one


def test_the_axis_has_the_leaderboards_numbers_and_equal_samples() -> None:
    made = Made()
    for batch, mean in ((8, 0.9), (64, 0.8)):
        made.cell({"optimizer": "adamw", "batch_size": batch}, around(mean), batch_size=batch, steps=6400 // batch)
    one = axis_of(made)
    assert (one.key, one.words, one.workload, one.values) == ("batch_size", "batch size", "mlp", (8.0, 64.0))
    assert [point.headline.value for point in one.points] == [pytest.approx(0.9), pytest.approx(0.8)]
    assert one.samples == 6400
    assert one.spans[0].span.value == pytest.approx(0.1) and one.spans[0].best == 8
    chapter = next(c for c in document(with_axis(one)).chapters if c.title == "Along batch size")
    assert "every run is trained on 6,400 samples: the batch-size curve at fixed samples" in chapter.facts


def test_unequal_samples_are_said() -> None:
    made = Made()
    for batch in (8, 64):
        made.cell({"optimizer": "adamw", "batch_size": batch}, around(0.9), batch_size=batch, steps=100)
    one = axis_of(made)
    assert one.samples is None
    chapter = next(c for c in document(with_axis(one)).chapters if c.title == "Along batch size")
    assert chapter.facts.endswith("trained on 800 to 6,400 samples")


def with_axis(one: Axis) -> Any:
    return replace(made_report(), axes=(one,))


def test_an_edge_is_ringed_flagged_and_warned_of() -> None:
    points = [AxisPoint("adamw", value, Estimate(0.9, 0.8, 1.0, 5)) for value in (8.0, 64.0)]
    points[1] = replace(points[1], edges=(("optimizer.lr", "high"),), tuned={"optimizer.lr": 0.1}, failed=2)
    spans = (AxisSpan("adamw", Estimate(0.0, 0.0, 0.1, 5), 8.0),)
    one = Axis("batch_size", "batch size", "mlp", "accuracy", "max", "test accuracy", (8.0, 64.0), tuple(points), spans)
    chapter = next(c for c in document(with_axis(one)).chapters if c.title == "Along batch size")
    ((name, figure),) = chapter.figures
    assert name == "along-batch-size-headline" and isinstance(figure.data, Lines)
    ring = next(series for series in figure.data.series if series.mark == "ring")
    assert list(ring.x) == [64.0] and figure.data.x.log and figure.data.x.ticks == (8, 64)
    assert chapter.warnings == ("adamw is undertuned at 64: the tuned setting lies on an edge of its search box.",)
    for text in texts_of(with_axis(one)):
        assert "(edge, 2 failed)" in text


def texts_of(report: Any) -> list[str]:
    """Return the report in Markdown and as the terminal has it."""
    from rich.console import Console

    from optbench.reports.render.markdown import to_markdown
    from optbench.reports.render.terminal import lines

    console = Console(width=300, record=True, file=io.StringIO())
    for line in lines(report):
        console.print(line)
    return [to_markdown(document(report), {}), console.export_text()]


def test_a_width_says_its_parameters_and_transfers_rates() -> None:
    one = axis_of(widths({16: 1, 64: 1, 256: 2}, spread=0.01, parameter_bytes=8000))
    assert {point.parameters for point in one.points} == {2000}
    (transfer,) = one.transfers
    assert [curve.best for curve in transfer.curves] == [1e-2, 1e-2, 1e-1]
    assert [curve.cost.value for curve in transfer.curves] == [None, pytest.approx(0.0), pytest.approx(0.1)]
    assert transfer.shift == pytest.approx(0.25)
    chapter = next(c for c in document(with_axis(one)).chapters if c.title == "Along model width")
    found = dict(chapter.figures)
    lines, panels = found["along-model-width-headline"].data, found["along-model-width-rates"].data
    assert isinstance(lines, Lines) and lines.x.title == "model width (2k to 2k parameters)"
    assert isinstance(panels, LinePanels) and panels.names == ("model width 16", "model width 64", "model width 256")
    assert "At 256, the best learning rate of 16 costs adamw 0.1" in " ".join(chapter.answer)


def test_a_search_of_more_than_the_rate_has_no_transfer() -> None:
    assert axis_of(widths({16: 1, 64: 2}, tune="optimizer.weight_decay")).transfers == ()


def test_every_output_has_the_chapter() -> None:
    from optbench.reports.render.csv import tables

    report = with_axis(axis_of(widths({16: 1, 256: 2}, spread=0.01)))
    for text in texts_of(report):
        assert ("Along model width" in text and "Cost of" in text) or "cost of" in text
    rows = tables(document(report))
    assert [row["value"] for row in rows["axes"]] == [16.0, 256.0]
    assert {row["axis"] for row in rows["axes"]} == {"model.width"}
    assert len(rows["rates"]) == 2 * len(RATES)
    assert [row["cost"] for row in rows["rates"] if row["value"] == 256.0] == [pytest.approx(0.1)] * len(RATES)
