"""The options of running a sweep, from the command line and from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.config.values import shown
from optbench.errors import ConfigError

if TYPE_CHECKING:
    from optbench.sweeps.executors.registry import ExecutorChoice


@dataclass(frozen=True)
class SweepOptions:
    """The options of running a sweep. The study says what is run."""

    protocol: str | None = None
    scale: str | None = None
    study: str | None = None
    jobs: int | None = None
    per_device: int = 1
    executor: str = "local"
    retry: Sequence[str] = ()
    """The statuses of finished runs that are run again."""
    results_dir: Path | None = None
    config_dir: Path | None = None
    storage: str = ""
    trust: bool = False
    pack: int = 1
    """Runs of a cell that share a process."""

    def __post_init__(self) -> None:
        for option, count in (("--jobs", self.jobs), ("--per-device", self.per_device), ("--pack", self.pack)):
            if count is not None and type(count) is not int:
                raise ConfigError(f"{option} {shown(repr(count))}: expected a whole number")
            if count is not None and count < 1:
                raise ConfigError(f"{option} {count}: expected at least one")
        from optbench.records import Status

        allowed = [str(status) for status in Status if not status.succeeded]
        for status in self.retry:
            if status not in allowed:
                raise ConfigError(f"--retry: unknown status '{shown(status)}'", f"Choose from {', '.join(allowed)}")

    @property
    def retried(self) -> frozenset[str]:
        """The statuses of `retry`."""
        return frozenset(self.retry)

    @property
    def root(self) -> Path:
        """The results folder."""
        from optbench.store import results_root

        return results_root(self.results_dir)

    def executor_choice(self) -> ExecutorChoice:
        """Return the executor that --executor names. Raise ConfigError or MissingError."""
        from optbench.sweeps.executors.registry import choose

        return choose(self.executor, self.config_dir)
