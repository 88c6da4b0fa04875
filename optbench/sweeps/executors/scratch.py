"""The folder in which multiprocessing keeps the sockets of a sweep. It is named after the process, so that the next
sweep can remove the folders of processes that were killed."""

from __future__ import annotations

import multiprocessing.process
import os
import re
import shutil
import tempfile
from contextlib import suppress
from multiprocessing.util import Finalize
from typing import Any

from optbench.store.private import process_space, scratch_prefix

NAME = re.compile(r"optbench-(\d+)-(\d+)-\w+")


def use_scratch_folder() -> None:
    """Give multiprocessing a folder of this process, and remove those of the same user's processes that are gone."""
    settings: dict[str, Any] = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    if settings.get("tempdir") is not None:  # the name that `multiprocessing.util.get_temp_dir` looks for
        return
    remove_left_behind()
    settings["tempdir"] = folder = tempfile.mkdtemp(prefix=scratch_prefix())
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)


def remove_left_behind() -> None:
    """Remove the folders of this user's processes that do not run any more."""
    space = process_space()
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            match = NAME.fullmatch(entry.name)
            if not match or int(match[1]) != space or is_running(int(match[2])):
                continue
            if entry.is_dir(follow_symlinks=False) and is_ours(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def is_ours(entry: os.DirEntry[str]) -> bool:
    """Return True if a folder belongs to this user."""
    return not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()


def is_running(process: int) -> bool:
    """Return True if a process of this number runs, whoever owns it."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
