"""Names for runs outside of a sweep, whose study says nothing of what is compared.

Such runs are told apart by what was typed: words of the optimizer's side set contenders apart, other words workloads.
A word that all have is not said. So two learning rates of one optimizer are two contenders, never seeds of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

SAID_ELSEWHERE = ("model", "data", "optimizer", "seed")


def name_plain(rows: Iterable[dict[str, Any]]) -> None:
    """Extend `workload` and `contender` of the rows that are of no cell."""
    plain = [row for row in rows if row["cell"] is None]
    if len({row["trial_id"] for row in plain}) < 2:
        return
    extend(plain, "workload", lambda row: row["workload"], is_workload)
    extend(plain, "contender", lambda row: (row["workload"], row["contender"]), lambda key: not is_workload(key))


def extend(
    rows: Sequence[dict[str, Any]], column: str, alike: Callable[[dict[str, Any]], Any], of_it: Callable[[str], bool]
) -> None:
    """Add to a column of rows that are alike the words that set them apart."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(alike(row), []).append(row)
    for group in groups.values():
        words = [words_of(row, of_it) for row in group]
        common = set(words[0]).intersection(*words)
        for row, own in zip(group, words, strict=True):
            row[column] = " ".join([row[column], *(word for word in own if word not in common)])


def words_of(row: dict[str, Any], of_it: Callable[[str], bool]) -> list[str]:
    """The last word for each key that changes numbers, in the order of the keys."""
    found = {word.partition("=")[0].lstrip("+~"): word for word in row["overrides"]}
    ignored = {*SAID_ELSEWHERE, *without_effect()}
    return [word for key, word in sorted(found.items()) if key not in ignored and of_it(key)]


def is_workload(key: str) -> bool:
    """Whether a key is of the workload: all but those of the optimizer's side, as in a sweep."""
    from optbench.config import SEARCHED, packaged_folder
    from optbench.config.files import options

    return key.split(".")[0] not in {*SEARCHED, *options((packaged_folder(),), "modifier")}


@cache
def without_effect() -> frozenset[str]:
    """Keys that change no number of a run."""
    from optbench.config.files import packaged_folder, read_yaml

    return frozenset(read_yaml(packaged_folder() / "root" / "run.yaml")["about"]["not_identity"])
