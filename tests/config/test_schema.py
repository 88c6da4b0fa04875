"""The grammar of valid values."""

from __future__ import annotations

from typing import Any

import pytest

from optbench.config.schema import conform, describe
from optbench.config.trees import flatten, unflatten


@pytest.mark.parametrize(
    ("value", "spec", "default", "expected"),
    [
        (3, "[0, 5]", 1.0, 3.0),
        (0, "(0, 1)", 0.5, None),
        (1, "[0, 1)", 0.5, None),
        (2.0, "int [1, inf)", 1, 2),
        (2.5, "int [1, inf)", 1, None),
        (True, "[0, 1]", 0.5, None),
        (float("inf"), "[0, inf)", 1.0, None),
        (float("nan"), "(-inf, inf)", 1.0, None),
        (10**400, "int [1, inf)", 1, None),
        ("a", "a | b", "b", "a"),
        ("c", "a | b", "b", None),
        (None, "null | int [1, inf)", None, None),
        (7, None, "text", "7"),
        (True, None, "text", None),
        ([1, 2], "[0, inf)", [0.5, 0.5], [1.0, 2.0]),
        ([1], "[0, inf)", [0.5, 0.5], None),
        ([1], "list int [0, 9]", [], [1]),
        (1, "list int [0, 9]", [], None),
        (1, None, True, None),
        (False, None, True, False),
        ({}, None, None, None),
    ],
)
def test_conform(value: Any, spec: str | None, default: Any, expected: Any) -> None:
    if expected is None and not (value is None and spec and "null" in spec):
        with pytest.raises(ValueError, match="expected"):
            conform(value, spec, default)
    else:
        found = conform(value, spec, default)
        assert found == expected
        assert type(found) is type(expected)


def test_specs_read_as_words() -> None:
    assert describe("null | int [1, inf)") == "null or a whole number in [1, inf)"
    assert describe("a | b | str") == "'a', 'b' or text"


def test_flatten_and_unflatten_are_inverse() -> None:
    tree = {"a": {"b": 1, "c": {"d": [2]}}, "e": None}
    assert flatten(tree) == {"a.b": 1, "a.c.d": [2], "e": None}
    assert unflatten(flatten(tree)) == tree
