"""Optuna, imported when needed and kept quiet."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from optbench.errors import MissingError

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner


def require(module: str, option: str) -> ModuleType:
    """Import a module of the extra `search`. Raises MissingError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise MissingError(
            f"{option} needs {module}, which is not installed", "Install it: pip install 'optbench[search]'"
        ) from None


@contextmanager
def quietly() -> Iterator[None]:
    """Silence Optuna's log and its warnings (of experimental arguments, of values that are not finite)."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def pruning_study(name: str, pruner: BasePruner, direction: str) -> optuna.Study:
    """Return an Optuna study in memory that only prunes. Hyperband assigns trials to brackets by the study's name."""
    import optuna

    with quietly():
        return optuna.create_study(
            study_name=name,
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(0),  # not used
            direction="maximize" if direction == "max" else "minimize",
        )
