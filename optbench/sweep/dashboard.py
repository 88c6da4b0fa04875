"""A study for Optuna's own tools: optuna.journal beside study.json, an Optuna study for every cell, so that
`optuna-dashboard results/STUDY/optuna.journal` shows a sweep while it runs. It is a mirror: made from study.json's
tree, never read by a sweep."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optbench.sweep.quiet_optuna import quietly

FILE = "optuna.journal"
SECONDS = 10.0  # between two writings
GRACE_SECONDS = 5  # after which the lock of a writer that was killed is taken over


class Mirror:
    """Writes what is new in a study's tree; does nothing where Optuna is not installed, and never fails a sweep."""

    def __init__(self, folder: Path, notice: Callable[[str], None]) -> None:
        self._folder, self._notice = folder, notice
        self._journal: Journal | None = None
        self._written = -math.inf
        self._off = importlib.util.find_spec("optuna") is None

    def update(self, tree: Mapping[str, Any], now: bool) -> None:
        """Bring the journal up to the tree of study.json, if that was not just done; at once where it is asked for."""
        if self._off or not (now or time.monotonic() - self._written >= SECONDS):
            return
        try:
            with quietly():
                self._write(tree)
        except Exception as error:  # Optuna raises many kinds, of a full disk, a read-only folder, a strange file
            self._off = True
            self._notice(f"{self._folder / FILE} is not kept up to date: {type(error).__name__}: {error}")
        self._written = time.monotonic()

    def _write(self, tree: Mapping[str, Any]) -> None:
        try:
            self._journal = self._journal or Journal(self._folder / FILE)
        except Exception:  # spoilt by a crash: it can be made again
            (self._folder / FILE).unlink(missing_ok=True)
            self._journal = Journal(self._folder / FILE)
        for cell in tree["cells"]:
            self._journal.write(f"{tree['study']}/{cell['label']}", cell)


class Journal:
    """Optuna's journal file."""

    def __init__(self, file: Path) -> None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

        path = str(file.resolve())  # the lock is a link to it
        lock = JournalFileSymlinkLock(path, grace_period=GRACE_SECONDS)
        self._storage = JournalStorage(JournalFileBackend(path, lock))
        self._kept: dict[str, dict[int, Any]] = {}  # study: the state and value of every trial in it

    def write(self, name: str, cell: Mapping[str, Any]) -> None:
        """Add the trials of a cell that have ended and are not in its Optuna study.

        What an ended trial came to may change later (pruned, then finished; failed, then done again). Optuna's are
        final: then all are added anew."""
        ended = {t["trial"]: t for t in cell["trials"] if t["state"] != "open"}
        if not ended or cell["direction"] is None:
            return
        if name not in self._kept:
            self._kept[name] = self._read(name)
        kept = self._kept[name]
        if any(number not in ended or what != came_to(ended[number]) for number, what in kept.items()):
            self._delete(name)
            kept.clear()
        new = [trial for number, trial in ended.items() if number not in kept]
        if not new:
            return
        study = self._study(name, cell)
        for trial in new:
            study.add_trial(frozen(trial, cell["dimensions"]))
            kept[trial["trial"]] = came_to(trial)

    def _read(self, name: str) -> dict[int, Any]:
        import optuna

        if name not in optuna.get_all_study_names(self._storage):
            return {}
        trials = optuna.load_study(study_name=name, storage=self._storage).trials
        return {t.user_attrs["trial"]: tuple(t.user_attrs["came_to"]) for t in trials}

    def _delete(self, name: str) -> None:
        import optuna

        optuna.delete_study(study_name=name, storage=self._storage)

    def _study(self, name: str, cell: Mapping[str, Any]) -> Any:
        import optuna

        study = optuna.create_study(
            study_name=name,
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(0),  # never asked
            direction="maximize" if cell["direction"] == "max" else "minimize",
            load_if_exists=True,
        )
        if cell["metric"] and study.metric_names is None:
            study.set_metric_names([cell["metric"]])
        return study


def came_to(trial: Mapping[str, Any]) -> tuple[str, float | None]:
    """What an ended trial came to."""
    return trial["state"], trial["value"]


def frozen(trial: Mapping[str, Any], dimensions: list[Mapping[str, Any]]) -> Any:
    """An ended trial as Optuna keeps it; its value is the mean of its runs' metric on validation."""
    import optuna

    states = optuna.trial.TrialState
    kinds = {"done": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
    return optuna.trial.create_trial(
        state=kinds[trial["state"]],
        value=trial["value"],
        params=dict(trial["values"]),
        distributions={d["key"]: distribution(d, trial["values"][d["key"]]) for d in dimensions},
        user_attrs={"trial": trial["trial"], "came_to": list(came_to(trial)), "runs": list(trial["runs"])},
    )


def distribution(dimension: Mapping[str, Any], value: Any) -> Any:
    """A dimension of a box as a distribution, which must contain the value (a rounded one may lie just outside)."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension["values"]:
        return CategoricalDistribution(dimension["values"])
    low, high = min(dimension["low"], value), max(dimension["high"], value)
    if dimension["integer"]:
        return IntDistribution(int(low), int(high), log=dimension["log"])
    return FloatDistribution(low, high, log=dimension["log"])
