"""Names for runs outside of a sweep: no study says what they compare.

Their names contain the typed keys with the values of the resolved configuration: keys of the optimizer's side name
contenders, other keys workloads. A key with one value everywhere is left out. Two learning rates of one optimizer are
therefore two contenders, never two seeds of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from optbench.config.trees import flatten
from optbench.config.values import as_typed
from optbench.reports.read.columns import Name, RunRow
from optbench.reports.read.settings import ABSENT, config_of, key_of, value_in

NAMED_ALREADY = ("model", "data", "script", "optimizer", "seed", "init", "freeze")


def name_plain_runs(rows: Iterable[RunRow]) -> None:
    """Extend `workload` and `contender` of the rows that belong to no cell."""
    plain = [row for row in rows if row["cell"] is None]
    if len({row["trial_id"] for row in plain}) < 2:
        return
    extend(plain, "workload", lambda row: row["workload"], is_workload)
    extend(plain, "contender", lambda row: (row["workload"], row["contender"]), lambda key: not is_workload(key))
    extend_by_settings(plain)


def extend(
    rows: Sequence[RunRow], column: Name, group_of: Callable[[RunRow], object], belongs: Callable[[str], bool]
) -> None:
    """Add the settings that tell the rows of a group apart to their names."""
    groups: dict[object, list[RunRow]] = {}
    for row in rows:
        groups.setdefault(group_of(row), []).append(row)
    for group in groups.values():
        keys = [key for key in typed_keys(group) if belongs(key)]
        words = [words_of(row, keys) for row in group]
        common = set(words[0]).intersection(*words)
        for row, own in zip(group, words, strict=True):
            row[column] = " ".join([row[column], *(word for word in own if word not in common)])


def extend_by_settings(rows: Sequence[RunRow]) -> None:
    """Add what else differs between trials of one name: settings from another configuration folder or version."""
    groups: dict[tuple[str, str], dict[str | None, list[RunRow]]] = {}
    for row in rows:
        trials = groups.setdefault((row["workload"], row["contender"]), {})
        trials.setdefault(row["trial_id"], []).append(row)
    for trials in groups.values():
        configs = {trial: flatten(config_of(same[0])) for trial, same in trials.items()} if len(trials) > 1 else {}
        leaves = dict.fromkeys(key for config in configs.values() for key in config)
        kept = [key for key in leaves if key not in keys_without_effect() and key not in (*NAMED_ALREADY, "target")]
        for key in kept:
            values = {trial: config.get(key, ABSENT) for trial, config in configs.items()}
            if len(set(map(repr, values.values()))) == 1:
                continue
            column: Name = "workload" if is_workload(key) else "contender"
            for trial, value in values.items():
                for row in trials[trial] if value is not ABSENT else ():
                    row[column] += f" {key}={as_typed(value)}"


def typed_keys(rows: Iterable[RunRow]) -> list[str]:
    """Return the keys of the rows' overrides that can change a number of a run, sorted."""
    typed = {key_of(word) for row in rows for word in row["overrides"] or ()}
    return sorted(typed - {*NAMED_ALREADY, *keys_without_effect()})


def words_of(row: RunRow, keys: Iterable[str]) -> list[str]:
    """Return `key=value` for each key: the value of the resolved configuration, or as typed if it has no such key."""
    config = config_of(row)
    typed = {key_of(word): word for word in row["overrides"] or ()}
    words = []
    for key in keys:
        value = value_in(config, key)
        words.append(typed.get(key, "") if value is ABSENT else f"{key}={as_typed(value)}")
    return list(filter(None, words))


def is_workload(key: str) -> bool:
    """Return True for a key of the workload: any but those of the optimizer's side, as in a sweep."""
    from optbench.config import SEARCHED, packaged_folder
    from optbench.config.files import options

    return key.split(".")[0] not in {*SEARCHED, *options((packaged_folder(),), "modifier")}


@cache
def keys_without_effect() -> frozenset[str]:
    """Return the keys that change no number of a run."""
    from optbench.config.files import packaged_folder, read_yaml

    return frozenset(read_yaml(packaged_folder() / "root" / "run.yaml")["about"]["not_identity"])
