"""A study's `claim:`, one criterion or a list of them that must all hold:

claim:
  - {measure: diverged_share, of: none, against: 0.1, relation: worse, control: true}
  - {measure: test_metric, of: lion, against: adamw, relation: not_worse, margin: 0.005}
  - {measure: state_bytes, of: lion, against: adamw, relation: better, margin: 0.4, on: {model: vit}, text: "..."}
  - {measure: axis_span, of: adamw, against: 0, relation: tie, margin: 0.01, along: {batch_size: [8, 16, 32, 64]}}

`of` and `against` are a contender's name, or a mapping of sweep keys to values ({optimizer: lamb, batch_size: 512});
`against` may also be a number. `along` names the axis of a measure that needs one, and the values if not all.
Loads pydantic: import it inside functions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, Strict, model_validator
from pydantic_core import PydanticCustomError

from optbench.config.measures import MEASURES
from optbench.config.trees import is_list, is_mapping
from optbench.config.validation import validated
from optbench.config.values import as_number, as_typed
from optbench.errors import ConfigError, nearest

Plain = str | int | float | bool | None
Selector = dict[str, Plain]
PHRASES = {"tie": "equal to", "better_by": "better by the margin than", "worse_by": "worse by the margin than"}


def known_measure(name: str) -> str:
    """Return the name of a measure."""
    if name in MEASURES:
        return name
    match = nearest(name, MEASURES)
    hint = f"{f'Did you mean {match}? ' if match else ''}Known: {', '.join(MEASURES)}"
    raise PydanticCustomError("measure", "unknown measure", {"hint": hint})


def as_selector(value: object) -> Selector:
    """Return a mapping of sweep keys to plain values."""
    if is_mapping(value) and all(isinstance(v, Plain) for v in value.values()):
        return dict(value)
    raise PydanticCustomError("on", "expected a mapping of keys to values", {"hint": "e.g. {model: vit}"})


def as_side(value: object) -> str | Selector:
    """Return a contender's name, or a mapping of sweep keys to plain values."""
    if value and isinstance(value, str):
        return value
    if value and is_mapping(value) and all(isinstance(v, Plain) for v in value.values()):
        return dict(value)
    hint = "e.g. lamb, or {optimizer: lamb, batch_size: 512}"
    raise PydanticCustomError("side", "expected a contender's name or a mapping of keys to values", {"hint": hint})


def as_side_or_number(value: object) -> str | Selector | float:
    """Return a number, or else a side."""
    number = as_number(value)
    return as_side(value) if number is None else number


def as_along(value: object) -> dict[str, tuple[float, ...]]:
    """Return the axis of a measure with its values, none for all of them."""
    if value and isinstance(value, str):
        return {value: ()}
    if is_mapping(value) and len(value) == 1:
        ((key, listed),) = value.items()
        numbers = [as_number(one) for one in listed] if is_list(listed) else []
        known = {one for one in numbers if one is not None}
        if len(known) == len(numbers) > 1:
            return {str(key): tuple(sorted(known))}
    hint = "e.g. batch_size, or {batch_size: [8, 64]}"
    raise PydanticCustomError("along", "expected a key, or a key with two numbers or more", {"hint": hint})


class Criterion(BaseModel):
    """One condition of a claim."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    measure: Annotated[str, AfterValidator(known_measure)]
    of: Annotated[str | Selector, PlainValidator(as_side)]
    against: Annotated[str | Selector | float, PlainValidator(as_side_or_number)]
    relation: Literal["better", "worse", "tie", "not_worse", "not_better", "better_by", "worse_by"]
    margin: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] = 0.0
    """In the metric's unit; for a ratio a share: 0.1 is a tenth."""
    on: Annotated[Selector, PlainValidator(as_selector)] = {}
    """Only the workloads that have these values."""
    along: Annotated[dict[str, tuple[float, ...]], PlainValidator(as_along)] = {}
    """The axis of a measure along one, with its values; none: all that the study has."""
    control: bool = False
    """True for what must hold for the claim to be testable here: that its baseline fails at all, for example."""
    text: str = ""

    @model_validator(mode="after")
    def check_side(self) -> Criterion:
        """Raise an error for a number where the measure needs another side."""
        if MEASURES[self.measure].needs_side and isinstance(self.against, (int, float)):
            words = f"{self.measure} is taken against another contender, not a number"
            raise PydanticCustomError("side", "{words}", {"words": words, "hint": "e.g. against: adamw"})
        return self

    @model_validator(mode="after")
    def check_along(self) -> Criterion:
        """Raise an error unless `along` is there exactly if the measure needs it."""
        if MEASURES[self.measure].along != bool(self.along):
            which = ", ".join(name for name, one in MEASURES.items() if one.along)
            hint = "e.g. along: batch_size" if not self.along else f"Measures along an axis: {which}"
            words = f"{self.measure} {'needs' if not self.along else 'takes no'} along"
            raise PydanticCustomError("along", "{words}", {"words": words, "hint": hint})
        return self

    @property
    def statement(self) -> str:
        """The condition in words, without its margin."""
        how = PHRASES.get(self.relation) or f"{self.relation} than".replace("_", " ")
        where = f" on {words_of(self.on)}" if self.on else ""
        axis = "".join(f" along {key}{values_words(values)}" for key, values in self.along.items())
        return f"{words_of(self.of)} is {how} {words_of(self.against)} in {self.measure}{axis}{where}"

    @property
    def unit(self) -> str:
        """The margin in words, empty without one."""
        if not self.margin:
            return ""
        return f"margin {self.margin:.4g}" + (" as a share" if MEASURES[self.measure].is_ratio else "")


def values_words(values: tuple[float, ...]) -> str:
    """Return the values of an axis in words; nothing for all of them."""
    return f" {', '.join(f'{value:g}' for value in values)}" if values else ""


def words_of(side: str | float | Selector) -> str:
    """Return a side of a criterion in words."""
    if isinstance(side, dict):
        return " ".join(f"{key}={as_typed(value)}" for key, value in side.items())
    return side if isinstance(side, str) else f"{side:g}"


def normalised(claim: object) -> object:
    """Return a claim from YAML with the key `on` as written: YAML 1.1 reads that word as true."""
    if is_list(claim):
        return [normalised(one) for one in claim]
    return {"on" if str(key) == "True" else key: v for key, v in claim.items()} if is_mapping(claim) else claim


def criteria_of(claim: object, where: str = "claim") -> tuple[Criterion, ...]:
    """Return the criteria of a `claim:`. Raises ConfigError whose message begins with `where`."""
    if not is_list(claim):
        return criteria_for_each(claim, where)
    if not claim:
        raise ConfigError(f"{where}: the list is empty", "Give one criterion or several")
    return tuple(one for number, node in enumerate(claim, 1) for one in criteria_for_each(node, f"{where} {number}"))


def criteria_for_each(node: object, where: str) -> tuple[Criterion, ...]:
    """Return the criterion of each side that `of` lists; a single one without a list."""
    if not is_mapping(node) or not is_list(sides := node.get("of")):
        return (validated(Criterion, node, where),)
    if not sides:
        raise ConfigError(f"{where}: of: the list is empty", "Name one contender or several")
    return tuple(validated(Criterion, {**node, "of": side}, where) for side in sides)
