"""What a study's `claim:` may say: one criterion or a list of them, and all must hold.

claim:
  - {measure: test_metric, of: lion, against: adamw, relation: not_worse, margin: 0.005}
  - {measure: state_bytes, of: lion, against: adamw, relation: better, margin: 0.4, on: {model: vit}, text: "..."}

`of` and `against` are a contender's name, or a mapping of keys of the sweep to values ({optimizer: lamb, batch_size:
512}); `against` may also be a number. How each measure is taken stands in optbench.reports.claims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from optbench.errors import ConfigError

RELATIONS = ("better", "worse", "tie", "not_worse", "not_better", "better_by", "worse_by")
SPOKEN = {"tie": "equal to", "better_by": "better by the margin than", "worse_by": "worse by the margin than"}
NEEDED = ("measure", "of", "against", "relation")
KEYS = (*NEEDED, "margin", "on", "text")
DIFFERENCE, RATIO = "difference", "ratio"
MEASURES = {  # name: (how two are compared, which is also the unit of `margin`; whether more is better; what it is)
    "test_metric": (DIFFERENCE, None, "metric on test at the end, by the task's direction"),
    "val_metric": (DIFFERENCE, None, "metric on validation at the end"),
    "train_metric": (DIFFERENCE, None, "metric on training samples at the end"),
    "test_loss": (RATIO, False, "loss on test at the end"),
    "val_loss": (RATIO, False, "loss on validation at the end"),
    "train_loss": (RATIO, False, "loss on training samples at the end"),
    "iqm": (DIFFERENCE, True, "interquartile mean over all workloads: 1 the best contender's mean, 0 the worst's"),
    "diverged_share": (DIFFERENCE, False, "share of the tuning runs that failed"),
    "seed_sd": (RATIO, False, "standard deviation of the final metric over seeds"),
    "trial_sd": (RATIO, False, "standard deviation of the metric over the trials of the tuning"),
    "lr_sensitivity": (DIFFERENCE, False, "metric that a learning rate drawn from the box costs"),
    "separability": (DIFFERENCE, True, "of learning rate and weight decay, 0 to 1"),
    "steps_to_target": (RATIO, False, "steps of the shortest complete schedule that reaches the target"),
    "seconds_to_target": (RATIO, False, "its seconds of training"),
    "train_seconds": (RATIO, False, "seconds of data, forward, backward and optimizer"),
    "wall_seconds": (RATIO, False, "seconds of everything"),
    "optimizer_seconds": (RATIO, False, "seconds of optimizer steps"),
    "step_ms": (RATIO, False, "milliseconds of the median training step"),
    "samples_per_second": (RATIO, True, "samples over seconds of training"),
    "state_bytes": (RATIO, False, "bytes of optimizer state"),
    "peak_bytes": (RATIO, False, "peak memory, bytes"),
    "flops_per_step": (RATIO, False, "floating-point operations of a step"),
    "gradient_evaluations": (RATIO, False, "gradient evaluations of a run"),
}


@dataclass(frozen=True)
class Criterion:
    """One condition of a claim."""

    measure: str
    of: str | Mapping[str, Any]
    against: str | Mapping[str, Any] | float
    relation: str
    margin: float = 0.0
    """In the metric's unit; of a ratio as a share: 0.1 for a tenth."""
    on: Mapping[str, Any] = field(default_factory=dict)
    """Only the workloads that have these values."""
    text: str = ""

    @property
    def statement(self) -> str:
        """The condition in words, without its margin."""
        how = SPOKEN.get(self.relation) or f"{self.relation} than".replace("_", " ")
        where = f" on {name_of(self.on)}" if self.on else ""
        return f"{name_of(self.of)} is {how} {name_of(self.against)} in {self.measure}{where}"

    @property
    def unit(self) -> str:
        """The margin in words, empty where there is none."""
        if not self.margin:
            return ""
        share = MEASURES[self.measure][0] == RATIO
        return f"margin {self.margin:.4g}" + (" as a share" if share else "")


def name_of(side: Any) -> str:
    """A side of a criterion in words."""
    if isinstance(side, Mapping):
        return " ".join(f"{key}={spelled(value)}" for key, value in side.items())
    return f"{side:g}" if isinstance(side, float) else str(side)


def spelled(value: Any) -> str:
    """A value as the command line has it."""
    return (
        {True: "true", False: "false", None: "null"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def normalised(claim: Any) -> Any:
    """A claim as YAML gives it, with the key `on` as it was written: YAML 1.1 reads that word as true."""
    if isinstance(claim, list):
        return [normalised(one) for one in claim]
    return (
        {"on" if key is True else key: value for key, value in claim.items()} if isinstance(claim, Mapping) else claim
    )


def criteria_of(claim: Any, where: str = "claim") -> tuple[Criterion, ...]:
    """The criteria of a `claim:`. Raises ConfigError, `where` first, for what could not be decided."""
    if isinstance(claim, list):
        if not claim:
            raise ConfigError(f"{where} is an empty list", "It has one criterion or several")
        return tuple(criterion_of(one, f"{where} {number}") for number, one in enumerate(claim, 1))
    return (criterion_of(claim, where),)


def criterion_of(tree: Any, where: str) -> Criterion:
    """One criterion."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where} is no mapping", f"Known: {', '.join(KEYS)}")
    unknown, missing = [key for key in tree if key not in KEYS], [key for key in NEEDED if key not in tree]
    if unknown or missing:
        wrong = f"has no key {unknown[0]}" if unknown else f"lacks {missing[0]}"
        raise ConfigError(f"{where} {wrong}", f"Known: {', '.join(KEYS)}")
    check_word(tree["measure"], MEASURES, f"{where}.measure")
    check_word(tree["relation"], RELATIONS, f"{where}.relation")
    return Criterion(
        measure=tree["measure"],
        of=side_of(tree["of"], f"{where}.of"),
        against=as_number(tree["against"])
        if is_number(tree["against"])
        else side_of(tree["against"], f"{where}.against"),
        relation=tree["relation"],
        margin=margin_of(tree.get("margin"), f"{where}.margin"),
        on=mapping_of(tree.get("on") or {}, f"{where}.on"),
        text=str(tree.get("text") or ""),
    )


def check_word(word: Any, known: Sequence[str] | Mapping[str, Any], where: str) -> None:
    """ConfigError for a word that is none of those known."""
    if isinstance(word, str) and word in known:
        return
    near = get_close_matches(str(word), list(known), 1)
    hint = f"Known: {', '.join(known)}"
    raise ConfigError(f"{where}={word}", f"Did you mean {near[0]}? {hint}" if near else hint)


def side_of(value: Any, where: str) -> str | Mapping[str, Any]:
    """A contender's name, or what selects it."""
    if isinstance(value, Mapping) and value:
        return mapping_of(value, where)
    if isinstance(value, str) and value:
        return value
    raise ConfigError(
        f"{where}={value}: expected a contender's name or a mapping", "e.g. {optimizer: lamb, batch_size: 512}"
    )


def mapping_of(value: Any, where: str) -> dict[str, Any]:
    """Values by keys of the sweep."""
    plain = (str, int, float, bool, type(None))
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, plain) for k, v in value.items()):
        raise ConfigError(f"{where}={value}: expected values by key", "e.g. {model: vit, batch_size: 512}")
    return dict(value)


def margin_of(value: Any, where: str) -> float:
    """A number that is not negative; 0 where there is none."""
    number = 0.0 if value is None else as_number(value)
    if number is None or number < 0:
        raise ConfigError(f"{where}={value}: expected a number from 0 on")
    return number


def is_number(value: Any) -> bool:
    """Whether a value is a number, in YAML's spelling or in one that YAML takes for text (1e-3)."""
    return as_number(value) is not None


def as_number(value: Any) -> float | None:
    """A value as a finite number, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def same(a: Any, b: Any) -> bool:
    """Whether two values of a key are the same: 512 and "512", 1e-3 and "0.001", true and "true"."""
    left, right = as_number(a), as_number(b)
    if left is not None and right is not None:
        return left == right
    return spelled(a).lower() == spelled(b).lower()
