"""Measures over a ladder of budgets and over tuning, as sections of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from made_runs import write_run, write_study

from optbench.records import DEFAULT_TRIAL
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.chapters import document
from optbench.reports.model.content import Report
from optbench.reports.model.numbers import TIMES
from optbench.reports.read.reading import read
from optbench.reports.statistics.measures.equivalent_budget import AT_LEAST

BUDGETS = (0.25, 0.5, 1.0)
SEEDS = (-0.01, 0.0, 0.01)


def made(root: Path, levels: Mapping[str, Sequence[float]], **more: object) -> Report:
    """Return the report of a ladder of two workloads, trivial answer 0."""
    for data in ("d0", "d1"):
        finals = {name: [means[-1] + seed for seed in SEEDS] for name, means in levels.items()}
        study = write_study(root, finals, study=f"study-{data}", data_name=data, trivial=0.0)
        for name, means in levels.items():
            for budget, mean in zip(BUDGETS[:-1], means, strict=False):
                for seed, off in enumerate(SEEDS):
                    write_run(
                        study,
                        name,
                        "final",
                        1000 + seed,
                        0,
                        mean + off,
                        "max",
                        data_name=data,
                        budget=budget,
                        trivial=0.0,
                    )
    return build(read(root), ReportOptions(records=False, **more))  # type: ignore[arg-type]


LEVELS = {"adamw": (0.4, 0.6, 0.8), "muon": (0.5, 0.7, 0.9), "none": (0.0, 0.0, 0.0), "sgd": (0.2, 0.3, 0.5)}


def test_a_report_has_the_section(tmp_path: Path) -> None:
    report = made(tmp_path, LEVELS)
    rows = report.workloads[0].equivalent
    assert {row.contender for row in rows} == {"muon", "sgd"}, "neither the reference nor who learned nothing"
    stands = {row.contender: row for row in rows if row.stands}
    assert stands["muon"].budget == 0.5 and stands["muon"].ratio.value == pytest.approx(2**0.5)
    assert stands["sgd"].budget == 1.0 and stands["sgd"].ratio.value == pytest.approx(0.25 * 2**0.5)
    last = next(row for row in rows if row.contender == "muon" and row.budget == 1.0)
    assert (last.bound, last.ratio.value, last.ratio.high) == (AT_LEAST, 1.0, None)
    sections = {s.key: s for chapter in document(report).chapters for s in chapter.sections}
    said = " ".join(str(part) for part in sections["equivalent"].parts)
    assert f"For the result of muon at {TIMES} 0.5, adamw needs 1.41 [" in said
    assert report.across is not None
    over = {one.contender: one for one in report.across.scores}
    assert over["muon"].equivalent.value == pytest.approx(2**0.5) and over["none"].equivalent.value is None


def test_a_report_says_why_it_has_none(tmp_path: Path) -> None:
    flat = made(tmp_path / "flat", LEVELS | {"adamw": (0.8, 0.8, 0.8)}).workloads[0]
    assert flat.equivalent == () and "flat within noise" in flat.not_equivalent
    other = made(tmp_path / "other", LEVELS, reference="nadam").workloads[0]
    assert (other.equivalent, other.not_equivalent) == ((), "")
    write_study(tmp_path / "one", {"adamw": [0.8, 0.9], "muon": [0.8, 0.9]})
    report = build(read(tmp_path / "one"), ReportOptions(records=False))
    keys = [s.key for chapter in document(report).chapters for s in chapter.sections if s.parts]
    assert "equivalent" not in keys, "no ladder, no section"


def test_the_total_cost_has_tuning_in_it(tmp_path: Path) -> None:
    """Four trials of 100 steps of 8 samples, one of them with two seeds, and final runs of the same length."""
    tuning: dict[str, list[float | None]] = {"adamw": [0.3, 0.9, 0.6, 0.5], "lion": [0.2, 0.8, 0.4, 0.4]}
    study = write_study(tmp_path, {"adamw": [0.9, 0.91], "lion": [0.8, 0.81]}, tuning=tuning, evaluations=100)
    write_run(study, "adamw", "tune", 1, 1, 0.9, "max", evaluations=100)
    write_run(study, "lion", "tune", 1, 1, 0.8, "max", evaluations=100)
    report = build(read(study), ReportOptions(records=False))
    curve = next(one for one in report.workloads[0].budget_curves if one.contender == "adamw")
    assert (curve.evaluated_samples, curve.final_samples) == (1000.0, 800.0)
    assert (curve.trial_seconds, curve.final_seconds) == (1.25, 1.0)
    assert curve.headline == pytest.approx((0.575, (3 * 0.9 + 2 * 0.6 + 0.5) / 6, (3 * 0.9 + 0.6) / 4, 0.9))
    (rows,) = (
        list(r.rows())
        for c in document(report).chapters
        for s in c.sections
        for r in s.records
        if r.name == "budget_curves"
    )
    assert [(row["trials"], row["total_samples"], row["total_seconds"]) for row in rows[:2]] == [
        (1, 1800.0, 2.25),
        (2, 2800.0, 3.5),
    ]
    figures = {figure.key for chapter in document(report).chapters for _, figure in chapter.figures}
    assert {"total-samples", "total-seconds"} <= figures


def test_the_reference_alone_may_have_a_ladder(tmp_path: Path) -> None:
    """adamw has half and twice the budget that all have: the leaderboard is at the budget of all."""
    study = write_study(tmp_path, {name: [mean + s for s in SEEDS] for name, mean in (("adamw", 0.8), ("muon", 0.85))})
    for budget, mean in ((0.5, 0.6), (2.0, 0.9)):
        for seed, off in enumerate(SEEDS):
            write_run(study, "adamw", "final", 1000 + seed, 0, mean + off, "max", budget=budget)
    workload = build(read(tmp_path), ReportOptions(records=False)).workloads[0]
    assert {row.contender: row.test.value for row in workload.rows} == pytest.approx({"adamw": 0.8, "muon": 0.85})
    (muon,) = workload.equivalent
    assert (muon.budget, muon.bound) == (1.0, "") and muon.ratio.value == pytest.approx(2**0.5)


def test_the_regret_at_defaults(tmp_path: Path) -> None:
    """The own values of adamw score 0.8, its final seeds 0.9 and 0.91, its points 0.3, 0.9, 0.6 and 0.5; the trivial
    answer is 0.1."""
    tuning: dict[str, list[float | None]] = {"adamw": [0.3, 0.9, 0.6, 0.5], "lion": [0.2, 0.8, 0.4, 0.4]}
    finals = {"adamw": [0.9, 0.91], "lion": [0.8, 0.81]}
    for data in ("d0", "d1"):
        study = write_study(tmp_path, finals, tuning=tuning, study=data, data_name=data, trivial=0.1)
        write_run(study, "adamw", "tune", 0, DEFAULT_TRIAL, 0.8, "max", data_name=data, trivial=0.1)
        write_run(study, "lion", "tune", 0, DEFAULT_TRIAL, None, "max", data_name=data, trivial=0.1)
    report = build(read(tmp_path), ReportOptions(records=False))
    adamw, lion = sorted(report.workloads[0].regret, key=lambda row: row.contender)
    assert adamw.best == 0.9 and adamw.default.value == pytest.approx(0.105)
    assert adamw.default_share == pytest.approx(0.105 / 0.8) and adamw.four.value == 0.0 and adamw.eight.value is None
    assert adamw.one.value == pytest.approx(0.9 - 0.575) and adamw.shares[0].value == pytest.approx(0.325 / 0.8)
    assert lion.default_failed and lion.default.value is None
    curve = next(one for one in report.workloads[0].budget_curves if one.contender == "adamw")
    assert len(curve.trials) == 4, "the own values are no point of the box"
    assert report.workloads[0].rows[0].trials == 5 and report.across is not None
    over = {one.contender: one.at_defaults.value for one in report.across.scores}
    assert over == {"adamw": pytest.approx(0.13125), "lion": 1.0}
