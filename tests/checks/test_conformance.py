"""Conformance of every optimizer in every installed implementation, and of optimizers that are wrong on purpose."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from optbench import config
from optbench.checks import engines, faithful, matrix, matrix_tables
from optbench.checks import run_all as conformance
from optbench.checks.result import DIFFERS, NOT_APPLICABLE, PASS, CheckResult
from optbench.checks.subject import make_subject
from optbench.cli.app import main
from optbench.errors import ConfigError

WRONG = Path(__file__).parent / "wrong_optimizers.py"
OPTIMIZERS = [c.optimizer for c in matrix.matrix_configs(None, [])]
SUBJECTS = [
    pytest.param(
        choice.name,
        choice.settings["impl"],
        # compiled: minutes of compiling; foreach: the other form of a library that is here already
        marks=[pytest.mark.slow] if choice.implementation.get("engine") in ("compiled", "foreach") else [],
    )
    for choice in OPTIMIZERS
]
COMPILING = (engines.engines, engines.recompiles)


def subject_config(name: str, impl: str) -> config.RunConfig:
    """Return the configuration that the matrix checks."""
    return next(c for c in matrix.matrix_configs(None, [], name) if c.optimizer.settings["impl"] == impl)


def by_name(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.check: result for result in results}


@pytest.mark.parametrize(("name", "impl"), SUBJECTS)
def test_everything_is_as_declared(name: str, impl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cheap = tuple(one for one in conformance.CHECKS if one not in COMPILING)
    monkeypatch.setattr(conformance, "CHECKS", cheap)
    results = conformance.check(subject_config(name, impl))
    assert [result for result in results if not result.holds] == []
    assert sum(result.state == PASS for result in results) >= 3


@pytest.mark.parametrize("name", ["lion", "adafactor"])
def test_engines_run_one_rule(name: str) -> None:
    compiled_checks(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [choice.name for choice in OPTIMIZERS if choice.settings["impl"] == "optbench"])
def test_engines_run_one_rule_for_every_optimizer(name: str) -> None:
    compiled_checks(name)


def compiled_checks(name: str) -> None:
    subject = make_subject(config.load([f"optimizer={name}", "optimizer.impl=optbench"]))
    for one in COMPILING:
        result = conformance.run_check(one, subject)
        assert result.state != DIFFERS, result


@pytest.mark.parametrize(
    ("optimizer", "against", "first"),
    [("SwappedLion", "lion", 2), ("EpsInsideAdam", "adam", 1), ("LateAdamW", "adamw", 1)],
)
def test_a_subtly_wrong_rule_is_found(
    optimizer: str, against: str, first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", f"optimizer={WRONG}:{optimizer}", "optimizer.lr=0.01", "--against", against, "--json"])
    assert stopped.value.code == 3
    answer, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    found = {finding["check"]: finding for finding in answer["findings"]}
    assert found["faithful"]["state"] == DIFFERS
    assert f"from step {first} of 200" in found["faithful"]["detail"]


@pytest.mark.parametrize(("optimizer", "against"), [("RateInItsMomentum", "momentum"), ("KeepsItsFirstRate", "lion")])
def test_a_rule_that_is_wrong_only_under_a_schedule_is_found(optimizer: str, against: str) -> None:
    subject = make_subject(config.load([f"optimizer={WRONG}:{optimizer}", "optimizer.lr=0.01"]), against)
    result = conformance.run_check(faithful.faithful, subject)
    assert result.state == DIFFERS
    assert re.match(r"scheduled: warm-up and cosine, .*?: differs from step 2 of 100", result.detail)
    assert re.search(r"; scheduled: jumps, .*?: differs from step 35 of 100", result.detail)
    assert result.detail.endswith("; 4 of 14 cases")


def test_an_optimizer_with_a_schedule_of_its_own_is_checked_at_a_constant_rate() -> None:
    subject = make_subject(config.load(["optimizer=schedulefree"]))
    assert not any(case.schedule for case in faithful.cases(subject, (0.0,)))


@pytest.mark.parametrize("impl", ["optbench", "transformers"])
@pytest.mark.parametrize(
    "mode",
    [
        (
            "relative_step=true",
            "scale_parameter=true",
            "beta1=0.9",
            "lr=0.3",
        ),  # 1 / sqrt(t) is the smaller from step 12 on
        ("relative_step=false", "scale_parameter=true", "beta1=null", "lr=1e-3"),
        ("relative_step=false", "scale_parameter=false", "beta1=0.9", "lr=1e-3"),
    ],
)
def test_every_mode_of_adafactor_is_the_papers(impl: str, mode: tuple[str, ...]) -> None:
    pytest.importorskip("transformers")
    chosen = config.load(["optimizer=adafactor", f"optimizer.impl={impl}", *(f"optimizer.{word}" for word in mode)])
    result = conformance.run_check(faithful.faithful, make_subject(chosen))
    assert result.state == PASS, result


@pytest.mark.parametrize("impl", ["optbench", "prodigyopt"])
@pytest.mark.parametrize(("safeguard", "correction"), [("false", "false"), ("true", "false"), ("false", "true")])
def test_prodigys_safeguards_are_the_authors(impl: str, safeguard: str, correction: str) -> None:
    pytest.importorskip("prodigyopt")
    words = [f"safeguard_warmup={safeguard}", f"use_bias_correction={correction}", f"impl={impl}"]
    subject = make_subject(config.load(["optimizer=prodigy", *(f"optimizer.{word}" for word in words)]))
    result = conformance.run_check(faithful.faithful, subject)
    assert result.state == PASS, result


def test_a_correct_custom_rule_passes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", f"optimizer={WRONG}:RightLion", "optimizer.lr=0.01", "--against", "lion"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "differs" not in out
    assert "gradients x1024: equal" in out  # it is checked for Lion's invariances


@pytest.mark.parametrize(
    ("optimizer", "check"),
    [
        ("WritesGradients", "gradients"),
        ("ForgetsItsState", "state_dict"),
        ("SharesItsRate", "groups"),
        ("MovesTheFrozen", "missing_gradient"),
        ("DividesByZero", "zero_gradient"),
        ("SwallowsNan", "nan_gradient"),
        ("DropsTheLoss", "closure"),
    ],
)
def test_misbehaviour_is_found(optimizer: str, check: str) -> None:
    results = conformance.check(config.load([f"optimizer={WRONG}:{optimizer}", "optimizer.lr=0.01"]))
    assert by_name(results)[check].state == DIFFERS
    assert not by_name(results)[check].holds


def test_a_declared_difference_must_occur() -> None:
    assert not CheckResult("faithful", PASS, "", declared="it once differed").holds
    assert CheckResult("faithful", DIFFERS, "", declared="known").holds
    assert not CheckResult("faithful", DIFFERS, "").holds


def test_an_unknown_paper_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown rule 'lyon'"):
        conformance.check(config.load(["optimizer=lion"]), against="lyon")


def test_an_optimizer_of_timm_by_name_is_compared_with_a_paper_at_its_own_rate() -> None:
    chosen = config.load(["optimizer=timm/lion", "optimizer.lr=0.02"])
    alone, compared = by_name(conformance.check(chosen)), by_name(conformance.check(chosen, against="lion"))
    assert alone["as_shipped"].state == NOT_APPLICABLE
    assert compared["faithful"].state == compared["as_shipped"].state == compared["scale"].state == PASS


def test_a_library_as_shipped_is_compared_at_the_rate_that_is_given() -> None:
    chosen = config.load(["optimizer=adamw", "optimizer.impl=timm", "optimizer.lr=0.03"])
    assert by_name(conformance.check(chosen))["as_shipped"].state == PASS


def test_an_error_in_a_check_is_never_declared_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faithful, "paper_rule", lambda name: 1 / 0)
    subject = make_subject(config.load(["optimizer=adamw", "optimizer.impl=timm"]))
    result = conformance.run_check(conformance.as_shipped, subject)
    assert "ZeroDivisionError" in result.detail
    assert not result.holds


def test_a_matrix_in_a_missing_folder_is_refused_before_the_checks(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--all", "-o", str(tmp_path / "nowhere" / "matrix.md")])
    assert stopped.value.code == 2


def test_hyperparameters_that_only_the_paper_has_are_named() -> None:
    results = conformance.check(config.load([f"optimizer={WRONG}:NoBetas", "optimizer.lr=0.1"]), against="lion")
    assert "betas, weight_decay of the paper as in optimizer=lion" in by_name(results)["faithful"].detail


class TestKnownDisagreements:
    """Differences of the libraries that reference texts and measurements report."""

    def shipped(self, name: str, impl: str) -> str:
        pytest.importorskip({"timm": "timm"}.get(impl, impl))
        subject = make_subject(subject_config(name, impl))
        result = conformance.run_check(conformance.as_shipped, subject)
        assert result.state == DIFFERS
        return result.detail

    def test_timms_lamb_normalises_and_drops_the_trust_ratio(self) -> None:
        detail = self.shipped("lamb", "timm")
        assert "max_grad_norm" in detail
        assert "always_adapt" in detail

    def test_pytorch_optimizers_lamb_is_ten_times_as_long_at_first(self) -> None:
        detail = self.shipped("lamb", "pytorch_optimizer")
        assert "adam_debias" in detail
        assert "first step 10" in detail

    def test_adabeliefs_eps_and_rectification(self) -> None:
        detail = self.shipped("adabelief", "timm")
        assert "eps" in detail
        assert "rectify" in detail

    @pytest.mark.parametrize(
        ("impl", "detail", "declared"),
        [
            ("timm", "first step 7.95x the paper's", "neither scaled by the parameters nor capped"),
            ("pytorch_optimizer", "first step 0.1x the paper's", "lr is ignored"),
            ("transformers", "Cannot combine manual `lr` and `relative_step=True`", "lr is refused"),
        ],
    )
    def test_the_same_rate_gives_another_step_in_every_adafactor(self, impl: str, detail: str, declared: str) -> None:
        assert detail in self.shipped("adafactor", impl)
        assert declared in make_subject(subject_config("adafactor", impl)).declared_difference("as_shipped")

    def test_torchs_radam_is_the_papers_but_for_step_five(self) -> None:
        detail = self.shipped("radam", "torch")
        assert "weight decay 0: differs from step 5 of" in detail
        assert "threshold 5.0 (the paper's file: 4.0)" in detail

    def test_timms_lookahead_skips_its_first_synchronisation(self) -> None:
        chosen = config.load(["optimizer=sgd", "lookahead.k=5", "lookahead.impl=timm"])
        result = by_name(conformance.check(chosen))["modifiers"]
        assert "from step 5 of" in result.detail
        assert result.declared

    def test_our_lookahead_does_not(self) -> None:
        chosen = config.load(["optimizer=sgd", "lookahead.k=5"])
        assert by_name(conformance.check(chosen))["modifiers"].state == PASS


@pytest.mark.parametrize("inner", ["adamw", "lion", "soap", "sophia_h"])
def test_modifiers_around_the_papers_rule(inner: str) -> None:
    chosen = config.load([f"optimizer={inner}", "lookahead=true", "cautious=true"])
    result = conformance.run_check(conformance.modifiers, make_subject(chosen))
    assert result.state == PASS, result


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    conformance.check(config.load(["optimizer=sgd"]))
    assert torch.get_num_threads() == before


def test_the_matrix_as_markdown() -> None:
    results = [CheckResult("faithful", PASS, "equal"), CheckResult("gradients", DIFFERS, "changed | so", "known")]
    cells = [matrix.MatrixCell(name, impl, results) for name, impl in (("lion", "timm"), ("adam", "torch"))]
    text = matrix_tables.markdown(cells, {"x": "1"})
    assert "| lion | 1; differs: gradients |  |" in text
    assert "- **lion** by timm, gradients: changed | so. Declared: known." in text
