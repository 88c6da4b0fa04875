"""The sensitivity of one contender's metric to its learning rate, from its tuning runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from optbench.config.values import as_number
from optbench.reports.contenders import Contender
from optbench.reports.model.content import Sensitivity
from optbench.reports.statistics.measures.sensitivity import sensitivity
from optbench.reports.statistics.scale import DECADES


def learning_rate_key(keys: Iterable[str]) -> str | None:
    """Return the first learning rate among searched keys, None if there is none."""
    return next((key for key in keys if key.split(".")[-1].split("_")[-1] == "lr"), None)


def sensitivity_of(contender: Contender, key: str, direction: str, level: float) -> Sensitivity:
    """Return a contender's trials against its learning rate, and what a wrong one costs."""
    rates = {trial: as_number(values.get(key)) for trial, values in contender.settings.items()}
    tried = {trial: rate for trial, rate in rates.items() if rate is not None}
    runs = [run for trial in tried for run in contender.tuning[trial]]
    trivial = next((run["val_trivial"] for run in runs if run["val_trivial"] is not None), None)
    winner = contender.winner
    return sensitivity(
        contender.name,
        key,
        list(tried.values()),
        [contender.score(trial) for trial in tried],
        direction,
        trivial=trivial,
        level=level,
        noise=contender.values("val"),
        chosen=tried.get(winner) if winner is not None else None,
        second=second_key(contender, key, list(tried)),
        ratios=contender.scale("val").kind == DECADES,
    )


def second_key(contender: Contender, key: str, trials: Sequence[int]) -> tuple[str, tuple[float, ...]]:
    """Return the first other searched key and its value in each trial; empty unless all values are above 0."""
    second = next((other for other in contender.searched if other != key), "")
    values = [as_number(contender.settings[trial].get(second)) for trial in trials]
    y = tuple(value for value in values if value is not None and value > 0)
    return (second, y) if second and len(y) == len(trials) else ("", ())
