"""The key `tracker`: one name, or several joined by +."""

from __future__ import annotations

from optbench.config import imports
from optbench.errors import ConfigError, suggest

AUTO_TRACKER, NO_TRACKER, WANDB = "auto", "none", "wandb"
TRACKERS = (WANDB, "tensorboard", "mlflow", "trackio")


def names_of(tracker: str) -> list[str]:
    """Return the trackers that a value of the key names."""
    return [] if tracker == NO_TRACKER else tracker.split("+")


def check_tracker(tracker: str) -> None:
    """Raise ConfigError for a tracker that there is not."""
    known = (AUTO_TRACKER, NO_TRACKER, *TRACKERS)
    alone = {AUTO_TRACKER, NO_TRACKER}
    names = tracker.split("+")
    unknown = [name for name in names if name not in known and not imports.is_path(name)]
    if unknown:
        hint = suggest(unknown[0], known)
        raise ConfigError(f"tracker={tracker}: there is no tracker '{unknown[0]}'", hint)
    if len(names) > 1 and (alone & {*names} or len({*names}) < len(names)):
        raise ConfigError(
            f"tracker={tracker}: several trackers are joined by +", "For example tracker=wandb+tensorboard"
        )
