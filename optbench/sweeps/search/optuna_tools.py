"""Optuna, imported when it is needed and kept quiet: a sweep says itself what there is to say."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optbench.errors import MissingError


def needed(module: str, for_what: str) -> Any:
    """A module of the extra `search`. MissingError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise MissingError(
            f"{for_what} needs {module}, which is not installed", "Install it: pip install 'optbench[search]'"
        ) from None


@contextmanager
def quietly() -> Iterator[None]:
    """No line of Optuna's log, and none of its warnings (of experimental arguments, of values that are not finite)."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
