"""Valid and invalid claims of a study."""

from __future__ import annotations

from typing import Any

import pytest

from optbench.config.claims import criteria_of
from optbench.config.measures import MEASURES
from optbench.config.values import same
from optbench.errors import ConfigError
from optbench.reports.claims.deciding import TOGETHER
from optbench.reports.claims.measuring import METRICS, SPECIAL
from optbench.reports.read.columns import COLUMNS

GOOD = {"measure": "test_metric", "of": "lion", "against": "adamw", "relation": "better"}


def test_one_criterion_and_several() -> None:
    (one,) = criteria_of(GOOD)
    assert (one.measure, one.of, one.against, one.margin, one.on) == ("test_metric", "lion", "adamw", 0.0, {})
    two = criteria_of([GOOD, GOOD | {"of": {"optimizer": "lamb", "batch_size": 512}, "on": {"model": "vit"}}])
    assert two[1].statement == "optimizer=lamb batch_size=512 is better than adamw in test_metric on model=vit"


def test_numbers_may_be_text() -> None:
    assert criteria_of(GOOD | {"against": "1e-3"})[0].against == 0.001
    each = criteria_of([GOOD | {"of": ["lamb", {"optimizer": "lion"}]}, GOOD])
    assert [one.of for one in each] == ["lamb", {"optimizer": "lion"}, GOOD["of"]]
    with pytest.raises(ConfigError, match="claim 1: of: the list is empty"):
        criteria_of([GOOD | {"of": []}])
    assert criteria_of(GOOD | {"against": -1})[0].against == -1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"measure": "test_metrc"},
            "study.yaml: claim.measure=test_metrc: unknown measure\nDid you mean test_metric? Known: ",
        ),
        ({"measure": 3}, "study.yaml: claim.measure=3"),
        ({"relation": "beter"}, "study.yaml: claim.relation=beter: expected 'better', 'worse', "),
        ({"margin": -1}, "study.yaml: claim.margin=-1: expected a number greater than or equal to 0"),
        ({"margin": "wide"}, "study.yaml: claim.margin=wide: expected a number"),
        ({"margins": 1}, "study.yaml: claim.margins: unknown key\nDid you mean margin?"),
        ({"of": {}}, "study.yaml: claim.of={}: expected a contender's name or a mapping of keys to values\ne.g. lamb"),
        ({"of": 3}, "study.yaml: claim.of=3"),
        ({"against": {"optimizer": ["lion"]}}, "study.yaml: claim.against={'optimizer': ['lion']}"),
        ({"on": "vit"}, "study.yaml: claim.on=vit: expected a mapping of keys to values"),
    ],
)
def test_mistakes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        criteria_of(GOOD | change, "study.yaml: claim")
    assert str(caught.value).startswith(message)
    with pytest.raises(ConfigError) as caught:
        criteria_of([GOOD, GOOD | change], "study.yaml: claim")
    assert str(caught.value).startswith(message.replace("claim", "claim 2", 1))


def test_an_unknown_measure_gets_a_suggestion_and_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        criteria_of(GOOD | {"measure": "seed_std"})
    assert caught.value.hint.startswith("Did you mean seed_sd? Known: test_metric, ")


@pytest.mark.parametrize("measure", ["equivalent_budget", "trial_sd"])
def test_measures_against_another_contender_take_no_number(measure: str) -> None:
    with pytest.raises(ConfigError, match=f"{measure} is taken against another contender, not a number"):
        criteria_of(GOOD | {"measure": measure, "against": 2})
    assert criteria_of(GOOD | {"measure": measure})


@pytest.mark.parametrize("claim", [[], None, "lion wins", 3])
def test_other_values_are_refused(claim: Any) -> None:
    with pytest.raises(ConfigError):
        criteria_of(claim)


def test_every_measure_is_implemented() -> None:
    columns = {"optimizer_seconds", "step_ms"} | {name for name, (kind, _) in COLUMNS.items() if kind in (int, float)}
    assert set(MEASURES) <= columns | METRICS.keys() | SPECIAL.keys() | TOGETHER.keys()
    assert SPECIAL.keys() | METRICS.keys() | TOGETHER.keys() <= MEASURES.keys()


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        *[(512, "512", True), (0.001, "1e-3", True), (True, "true", True), ("lamb", "lamb", True)],
        *[(None, "null", True), (True, 1, False), (512, "32", False), (False, "true", False), ("1e-3", "2e-3", False)],
    ],
)
def test_same_value(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) is equal and same(b, a) is equal
