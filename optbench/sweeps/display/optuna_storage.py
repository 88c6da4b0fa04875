"""`--storage URL`: a database of Optuna studies, shared by several machines and results folders."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import ConfigError, MissingError, first_line
from optbench.sweeps.search.optuna_tools import quietly, require

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

HOME, HOME_FILE = "optbench_home", ".storage-id"
CONNECT_SECONDS = 10


def open_storage(url: str) -> BaseStorage:
    """Return Optuna's storage at a URL of SQLAlchemy's (sqlite, postgresql, mysql)."""
    from optuna.storages import RDBStorage

    wait = "timeout" if url.startswith("sqlite") else "connect_timeout"
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True, "connect_args": {wait: CONNECT_SECONDS}})


def home_of(folder: Path) -> str:
    """Return the random identity of a study's folder, which tells it from others of its name; "" before it has one."""
    file = folder / HOME_FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def ensure_home(folder: Path) -> str:
    """Return the identity of a study's folder; give it one if it has none."""
    if not home_of(folder):
        (folder / HOME_FILE).write_text(uuid.uuid4().hex + "\n", encoding="utf-8")
    return home_of(folder)


def check_not_taken(storage: BaseStorage, folder: Path, where: str) -> None:
    """Raise ConfigError if the storage has a study of the folder's name from another folder."""
    import optuna

    for found in optuna.get_all_study_summaries(storage):
        home = found.user_attrs.get(HOME)
        if found.study_name.startswith(f"{folder.name}/") and home is not None and home != home_of(folder):
            raise ConfigError(
                f"--storage {where}: study {folder.name} of another results folder would be overwritten",
                "Give one of them another name: --study NAME",
            )


def check_storage(url: str, folder: Path | None = None) -> None:
    """Raise ConfigError or MissingError, before the first run, if a storage cannot be reached, or if it has a study of
    this `folder`'s name from another folder."""
    if not url:
        return
    require("optuna", "--storage")
    if "://" not in url:
        raise ConfigError(f"--storage {url}: expected a URL", "e.g. --storage postgresql://user@host/database")
    try:
        with quietly():
            storage = open_storage(url)
            if folder is not None:
                check_not_taken(storage, folder, without_password(url))
    except ConfigError:
        raise
    except ImportError as error:  # of a database driver
        driver = error.name or getattr(error.__cause__, "name", None) or "a driver"
        raise MissingError(f"--storage {without_password(url)} needs {driver}, which is not installed") from None
    except Exception as error:  # SQLAlchemy raises many kinds
        reason = safe_message(error.__cause__ or error, url)
        raise MissingError(
            f"--storage {without_password(url)} cannot be reached: {reason}",
            "Without --storage a study has its own optuna.journal",
        ) from None


def without_password(url: str) -> str:
    """Return a URL without its password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)


def safe_message(error: BaseException, url: str) -> str:
    """Return the first line of an error without the password of the URL."""
    return first_line(error).replace(url, without_password(url)) if url else str(error)
