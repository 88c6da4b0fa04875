"""A study for Optuna's own tools: optuna.journal beside study.json, an Optuna study for every cell, so that
`optuna-dashboard results/STUDY/optuna.journal` shows a sweep while it runs. It is a mirror: made from study.json's
tree, never read by a sweep. With `--storage URL` the mirror is a database, where the studies of many machines can be
looked at together."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, MissingError, first_line
from optbench.sweeps.search.optuna_tools import needed, quietly

log = logging.getLogger(__name__)

FILE = "optuna.journal"
HOME, HOME_FILE = "optbench_home", ".storage-id"
SECONDS = 10.0  # between two writings
CONNECT_SECONDS = 10
GRACE_SECONDS = 5  # after which the lock of a writer that was killed is taken over


class Mirror:
    """Writes what is new in a study's tree; does nothing where Optuna is not installed, and never fails a sweep."""

    def __init__(self, folder: Path, storage: str = "") -> None:
        self._storage = storage
        self._file = folder / FILE
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
            where = shown(self._storage) if self._storage else self._file
            log.warning(f"{where} is not kept up to date: {type(error).__name__}: {unsaid(error, self._storage)}")
        self._written = time.monotonic()

    def _write(self, tree: Mapping[str, Any]) -> None:
        self._journal = self._journal or self._made()
        for cell in tree["cells"]:
            self._journal.write(f"{tree['study']}/{cell['label']}", cell)
        self._journal.flush()

    def _made(self) -> Journal:
        if self._storage:
            return Journal(opened(self._storage), home=settled(self._file.parent))
        try:
            return journal_in(self._file)
        except Exception:  # spoilt by a crash: it can be made again
            self._file.unlink(missing_ok=True)
            return journal_in(self._file)


class Journal:
    """Studies in a storage of Optuna's."""

    def __init__(self, storage: Any, flush: Callable[[], None] = lambda: None, home: str = "") -> None:
        self._storage, self.flush, self._home = storage, flush, home
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
        if self._home:
            study.set_user_attr(HOME, self._home)
        if cell["metric"] and study.metric_names is None:
            study.set_metric_names([cell["metric"]])
        return study


class Gathered:
    """A journal's file that is written once for many entries: Optuna waits for the disk after each, most of what a run
    cost the scheduler (`optbench bench scaling`). There is one writer, the one scheduler."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._waiting: list[dict[str, Any]] = []
        self._written = sum(1 for _ in file.read_logs(0))

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries from a number on, those that wait included."""
        if log_number_from < self._written:
            yield from self._file.read_logs(log_number_from)
        yield from self._waiting[max(0, log_number_from - self._written) :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take entries, as the file would give them back."""
        self._waiting += json.loads(json.dumps(logs))

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._file.append_logs(self._waiting)
            self._written += len(self._waiting)
            self._waiting = []


def journal_in(file: Path) -> Journal:
    """Studies in a file of Optuna's."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    path = str(file.resolve())  # the lock is a link to it
    entries = Gathered(JournalFileBackend(path, JournalFileSymlinkLock(path, grace_period=GRACE_SECONDS)))
    return Journal(JournalStorage(entries), entries.flush)  # type: ignore[arg-type]  # it asks for no more than this


def opened(storage: str) -> Any:
    """Optuna's storage at a URL (sqlite, postgresql, mysql: what SQLAlchemy reaches)."""
    from optuna.storages import RDBStorage

    wait = "timeout" if storage.startswith("sqlite") else "connect_timeout"
    return RDBStorage(storage, engine_kwargs={"pool_pre_ping": True, "connect_args": {wait: CONNECT_SECONDS}})


def home_of(folder: Path) -> str:
    """What tells a study's folder from another of the same name: random, kept in the folder; "" where there is none
    yet."""
    file = folder / HOME_FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def settled(folder: Path) -> str:
    """The same, made where there is none."""
    if not home_of(folder):
        (folder / HOME_FILE).write_text(uuid.uuid4().hex + "\n", encoding="utf-8")
    return home_of(folder)


def check_free(storage: Any, folder: Path, where: str) -> None:
    """ConfigError where the storage has a study of the folder's name that lies in another folder."""
    import optuna

    for found in optuna.get_all_study_summaries(storage):
        home = found.user_attrs.get(HOME)
        if found.study_name.startswith(f"{folder.name}/") and home is not None and home != home_of(folder):
            raise ConfigError(
                f"--storage {where} has a study {folder.name} of another results folder, which this would overwrite",
                "Give one of them another name: --study NAME",
            )


def check_storage(storage: str, folder: Path | None = None) -> None:
    """ConfigError or MissingError where no storage can be reached by a URL, or where another folder's study has the
    name of this `folder`: said before the first run, not after."""
    if not storage:
        return
    needed("optuna", "--storage")
    if "://" not in storage:
        raise ConfigError(f"--storage {storage}: expected a URL", "e.g. --storage postgresql://user@host/database")
    try:
        with quietly():
            reached = opened(storage)
            if folder is not None:
                check_free(reached, folder, shown(storage))
    except ConfigError:
        raise
    except ImportError as error:  # of a driver
        driver = error.name or getattr(error.__cause__, "name", None) or "a driver"
        raise MissingError(f"--storage {shown(storage)} needs {driver}, which is not installed") from None
    except Exception as error:  # SQLAlchemy raises many kinds
        reason = unsaid(error.__cause__ or error, storage)
        raise MissingError(
            f"--storage {shown(storage)} cannot be reached: {reason}", "Without it a study has its own optuna.journal"
        ) from None


def shown(storage: str) -> str:
    """A URL without its password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", storage)


def unsaid(error: BaseException, storage: str) -> str:
    """An error's first line without the password of the URL."""
    return first_line(error).replace(storage, shown(storage)) if storage else str(error)


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
