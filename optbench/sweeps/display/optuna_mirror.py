"""A study for Optuna's own tools: optuna.journal beside study.json, with an Optuna study for every cell.

`optuna-dashboard results/STUDY/optuna.journal` shows a sweep while it runs. The mirror is made from study.json and
never read by a sweep. With `--storage URL` it is a database."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.records import DEFAULT_TRIAL
from optbench.sweeps.display.optuna_storage import HOME, ensure_home, open_storage, safe_message, without_password
from optbench.sweeps.search.optuna_tools import quietly

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.storages.journal import BaseJournalBackend
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

FILE = "optuna.journal"
SECONDS = 10.0  # between two writes
GRACE_SECONDS = 5  # before the lock of a killed writer is taken over
Cell = Mapping[str, Any]
"""A cell of study.json; a `Trial` is one of its trials."""
Trial = Mapping[str, Any]


class OptunaMirror:
    """Writes what is new in study.json. Does nothing if Optuna is not installed, and never fails a sweep."""

    def __init__(self, folder: Path, storage: str = "") -> None:
        self._url = storage
        self._file = folder / FILE
        self._studies: OptunaStudies | None = None
        self._written = -math.inf
        self._off = importlib.util.find_spec("optuna") is None

    def update(self, content: Mapping[str, Any], now: bool) -> None:
        """Write what is new in the content of study.json, at most every SECONDS, or `now`."""
        if self._off or not (now or time.monotonic() - self._written >= SECONDS):
            return
        try:
            with quietly():
                self._write(content)
        except Exception as error:  # Optuna raises many kinds, of a full disk, a read-only folder, an unknown file
            self._off = True
            where = without_password(self._url) if self._url else self._file
            log.warning(f"{where} is not kept up to date: {type(error).__name__}: {safe_message(error, self._url)}")
        self._written = time.monotonic()

    def _write(self, content: Mapping[str, Any]) -> None:
        self._studies = self._studies or self._open()
        for cell in content["cells"]:
            self._studies.write(f"{content['study']}/{cell['label']}", cell)
        self._studies.flush()

    def _open(self) -> OptunaStudies:
        if self._url:
            return OptunaStudies(open_storage(self._url), home=ensure_home(self._file.parent))
        try:
            return studies_in(self._file)
        except Exception:  # damaged by a crash: it can be made again
            self._file.unlink(missing_ok=True)
            return studies_in(self._file)


class OptunaStudies:
    """The studies of a storage."""

    def __init__(self, storage: BaseStorage, flush: Callable[[], None] = lambda: None, home: str = "") -> None:
        self._storage, self.flush, self._home = storage, flush, home
        self._known: dict[str, dict[int, tuple[str, float | None]]] = {}  # state and value of every trial, by study

    def write(self, name: str, cell: Cell) -> None:
        """Add the ended trials of a cell that its study lacks, without the optimizer's own values, which need not
        lie in the box.

        The result of an ended trial may change (pruned, then finished; failed, then rerun). Optuna's are final, so that
        all trials are then added anew."""
        ended = {t["trial"]: t for t in cell["trials"] if t["state"] != "open" and t["trial"] != DEFAULT_TRIAL}
        if not ended or cell["direction"] is None:
            return
        if name not in self._known:
            self._known[name] = self._read(name)
        known = self._known[name]
        if any(number not in ended or result != result_of(ended[number]) for number, result in known.items()):
            self._delete(name)
            known.clear()
        new = [trial for number, trial in ended.items() if number not in known]
        if not new:
            return
        study = self._study(name, cell)
        for trial in new:
            study.add_trial(frozen_trial(trial, cell["dimensions"]))
            known[trial["trial"]] = result_of(trial)

    def _read(self, name: str) -> dict[int, tuple[str, float | None]]:
        import optuna

        if name not in optuna.get_all_study_names(self._storage):
            return {}
        trials = optuna.load_study(study_name=name, storage=self._storage).trials
        return {t.user_attrs["trial"]: tuple(t.user_attrs["came_to"]) for t in trials}

    def _delete(self, name: str) -> None:
        import optuna

        optuna.delete_study(study_name=name, storage=self._storage)

    def _study(self, name: str, cell: Cell) -> optuna.Study:
        import optuna

        study = optuna.create_study(
            study_name=name,
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(0),  # not used
            direction="maximize" if cell["direction"] == "max" else "minimize",
            load_if_exists=True,
        )
        if self._home:
            study.set_user_attr(HOME, self._home)
        if cell["metric"] and study.metric_names is None:
            study.set_metric_names([cell["metric"]])
        return study


class BufferedJournal:
    """A journal file that is written once for many entries. Optuna waits for the disk after each, which was most of the
    scheduler's work per run (`optbench bench scaling`). There is one writer, the only scheduler."""

    def __init__(self, file: BaseJournalBackend) -> None:
        self._file = file
        self._waiting: list[dict[str, Any]] = []
        self._written = sum(1 for _ in file.read_logs(0))

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the entries from a number on, those in the buffer included."""
        if log_number_from < self._written:
            yield from self._file.read_logs(log_number_from)
        yield from self._waiting[max(0, log_number_from - self._written) :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Buffer entries, in the form in which the file would return them."""
        self._waiting += json.loads(json.dumps(logs))

    def flush(self) -> None:
        """Write the buffer."""
        if self._waiting:
            self._file.append_logs(self._waiting)
            self._written += len(self._waiting)
            self._waiting = []


def studies_in(file: Path) -> OptunaStudies:
    """Return the studies in a journal file."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    path = str(file.resolve())  # the lock is a symbolic link to it
    journal = BufferedJournal(JournalFileBackend(path, JournalFileSymlinkLock(path, grace_period=GRACE_SECONDS)))
    return OptunaStudies(JournalStorage(journal), journal.flush)  # type: ignore[arg-type]  # it has the methods used


def result_of(trial: Trial) -> tuple[str, float | None]:
    """Return the state and value of an ended trial."""
    return trial["state"], trial["value"]


def frozen_trial(trial: Trial, dimensions: list[Mapping[str, Any]]) -> FrozenTrial:
    """Return an ended trial as Optuna keeps it; its value is the mean of its runs' validation metric."""
    import optuna

    states = optuna.trial.TrialState
    kinds = {"done": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
    return optuna.trial.create_trial(
        state=kinds[trial["state"]],
        value=trial["value"],
        params=dict(trial["values"]),
        distributions={d["key"]: distribution(d, trial["values"][d["key"]]) for d in dimensions},
        user_attrs={"trial": trial["trial"], "came_to": list(result_of(trial)), "runs": list(trial["runs"])},
    )


def distribution(dimension: Mapping[str, Any], value: float) -> BaseDistribution:
    """Return a dimension of a box as a distribution that contains the value (a rounded one may lie just outside)."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension["values"]:
        return CategoricalDistribution(dimension["values"])
    low, high = min(dimension["low"], value), max(dimension["high"], value)
    if dimension["integer"]:
        return IntDistribution(int(low), int(high), log=dimension["log"])
    return FloatDistribution(low, high, log=dimension["log"])
