"""Settings of a run, read from its resolved configuration: the only source of values in a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from optbench.config.trees import is_list
from optbench.reports.read.columns import RunRow

ABSENT = object()
"""Returned for a key that a configuration does not have."""
Config = Mapping[str, object]


def config_of(run: RunRow) -> Config:
    """Return the resolved configuration of a run."""
    return json.loads(run["config"]) if run["config"] else {}


def value_in(config: Config, key: str) -> object:
    """Return the value of a dotted key, or of one element of a list: betas.1. That of a group (model, optimizer) is its
    name, of a modifier True, of any other key ABSENT."""
    found: object = config
    for part in key.split("."):
        if is_list(found) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, Mapping) and part in found:
            found = found[part]
        else:
            return ABSENT
    return found.get("name", True) if isinstance(found, Mapping) else found


def searched_keys(trials: Sequence[RunRow]) -> tuple[str, ...]:
    """Return the keys that tuning searched, given one run of each trial.

    run.json lists them. In runs from before it did, they are the overrides whose values differ between trials."""
    listed = next((run["searched"] for run in trials if run["searched"] is not None), None)
    if listed is not None:
        return tuple(listed)
    configs = [config_of(run) for run in trials]
    typed = dict.fromkeys(key_of(word) for run in trials for word in run["overrides"] or ())
    typed.pop("seed", None)
    return tuple(key for key in typed if len({repr(value_in(config, key)) for config in configs}) > 1)


def settings_of(run: RunRow, keys: Sequence[str]) -> dict[str, object]:
    """Return the values of some keys in a run's configuration."""
    config = config_of(run) if keys else {}
    found = {key: value_in(config, key) for key in keys}
    return {key: value for key, value in found.items() if value is not ABSENT}


def key_of(word: str) -> str:
    """Return the key of an override."""
    return word.partition("=")[0].lstrip("+~")
