"""Files that several runs would write: one run at a time reads its metric from such a file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from optbench.errors import ConfigError
from optbench.store.private import cache_folder

log = logging.getLogger(__name__)


@contextmanager
def hold(pattern: str) -> Iterator[None]:
    """Hold a file, or the files of a pattern, for one run. Raises ConfigError if another run of this user has it."""
    from filelock import FileLock, Timeout

    folder = cache_folder() / "locks"
    lock = FileLock(folder / f"{hashlib.sha256(pattern.encode()).hexdigest()[:16]}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"script.read: another run reads its metric from {pattern} now, and whose values are there can't be told",
            "Put {run_folder} into script.read and script.args, so that each run has its file; or run one at a time",
        ) from None
    except OSError as error:
        log.warning(f"{folder} cannot be written ({error.strerror}): runs that share {pattern} are not noticed")
    try:
        yield
    finally:
        lock.release()
