"""Weights & Biases as a mirror of the results: online if there is an API key, else offline.

`step` is logged as a value and used as the x axis, because W&B silently drops rows whose internal step decreases, as
after a resume. The seeds of one configuration form a group, so that W&B draws their mean with a band. In a sweep, the
group is the study.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import netrc
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

from optbench.config.trees import flatten
from optbench.contracts import Sink
from optbench.errors import first_line
from optbench.files import expanded
from optbench.records import Record, Status

if TYPE_CHECKING:
    from wandb import Run, Settings

log = logging.getLogger(__name__)

Mode = Literal["online", "offline", "disabled", "shared"]

INIT_SECONDS = 20  # then an online start becomes an offline one
TAG_CHARACTERS = 64  # W&B rejects longer tags
FACTS = ("algorithm", "implementation", "modifiers", "engine", "versions", "hardware", "git", "data")
SWEEP_FACTS = ("trial_id", "sweep")
RUN_JSON, RESULT_JSON = "run_json", "result_json"  # the whole files; `optbench report --wandb` reads them
W_AND_B_SWEEP = "WANDB_SWEEP_ID"  # set in a W&B sweep, which reads a metric's summary as one number
HOME_FOLDERS = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")
"""Variables that name folders which W&B otherwise makes in the home folder."""
HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")  # under which versions of W&B store the key


class Tracker(Sink):
    """A Sink that logs every record to W&B."""

    def __init__(self, directory: Path, project: str) -> None:
        self.directory, self.project = directory, project
        self.run: Run | None = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Start a W&B run, online if possible."""
        self.run = start_run(self.directory, lambda mode: self._begin(run, mode))

    def _begin(self, run: Mapping[str, Any], mode: Mode) -> Run:
        import wandb

        choices = run.get("config", {})
        sweep = run.get("sweep")
        facts = {key: run.get(key) for key in (*FACTS, *(SWEEP_FACTS if sweep else ()))}
        group = run.get("study") if sweep else f"{run.get('study')}/{run.get('trial_id')}"
        with quiet():
            new = wandb.init(
                project=self.project,
                dir=str(self.directory),
                mode=mode,
                id=run["run_id"],
                name=run["run_id"],
                resume="allow",
                group=group,
                job_type=run.get("stage"),
                tags=tags_of(run),
                config={**flatten({**choices, **facts}), RUN_JSON: json.dumps(run)},
                settings=settings(),
            )
            new.define_metric("step")
            new.define_metric("*", step_metric="step")
            if not os.environ.get(W_AND_B_SWEEP):
                best = "max" if run.get("direction") == "max" else "min"
                new.define_metric("val_loss", step_metric="step", summary="min")
                new.define_metric("val_metric", step_metric="step", summary=best)
        return new

    def log(self, record: Record) -> None:
        """Log one record under the names in `records.COLUMNS`."""
        if self.run is None:
            return
        row = {key: value for key, value in record.as_row().items() if value is not None}
        if record.pictures:
            import wandb

            row |= {name: wandb.Image(pixels) for name, pixels in record.pictures.items()}
        self.run.log(row)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Write the result into the summary and end the W&B run."""
        if self.run is None:
            return
        if result is not None:
            for key in ("status", "reason", "final", "seconds", "bytes", "throughput", "weights_sha256"):
                self.run.summary[f"result_{key}" if key == "final" else key] = result.get(key)
            self.run.summary[RESULT_JSON] = json.dumps(result)
        succeeded = result is not None and Status(result["status"]).succeeded
        with quiet():
            self.run.finish(exit_code=0 if succeeded else 1)


def start_run(directory: Path, begin: Callable[[Mode], Run]) -> Run | None:
    """Return `begin(mode)`, online if possible, else offline; None if W&B is not installed."""
    if importlib.util.find_spec("wandb") is None:
        log.info("W&B is not installed; records go to the results folder only")
        return None
    directory.mkdir(parents=True, exist_ok=True)
    spare_home(directory / "wandb" / "home")
    mode: Mode = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")  # type: ignore[assignment]
    try:
        run = begin(mode)
    except Exception as error:
        if mode != "online":
            raise
        log.warning(f"W&B cannot be reached ({first_line(error)}); logging offline")
        mode, run = "offline", begin("offline")
    if mode == "offline":
        log.info(f"W&B logs offline; upload with: wandb sync {Path(run.dir).parent}")
    return run


def spare_home(folder: Path) -> None:
    """Let W&B keep its caches and settings in `folder` where the home folder cannot be written.

    Its service would print its log to the terminal, and some versions would raise."""
    caches = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "wandb"
    with contextlib.suppress(OSError):
        caches.mkdir(parents=True, exist_ok=True)
        if os.access(caches, os.W_OK):
            return
    for variable in HOME_FOLDERS:
        os.environ.setdefault(variable, str(folder.absolute()))


def settings() -> Settings:
    """Return settings without output, system metrics or a copy of the code."""
    import wandb

    return wandb.Settings(
        console="off",
        x_disable_stats=True,
        disable_git=True,
        save_code=False,
        silent=True,
        init_timeout=INIT_SECONDS,
    )


def tags_of(run: Mapping[str, Any]) -> list[str]:
    """Return the tags of a run: optimizer, model, data, precision and, in a sweep, its cell."""
    choices = run.get("config", {})
    names = [choices[group]["name"] for group in ("optimizer", "model", "data") if group in choices]
    tags = [*names, str(choices.get("precision", "")), *([run["sweep"]["cell"]] if run.get("sweep") else [])]
    return list(dict.fromkeys(tag[:TAG_CHARACTERS] for tag in tags if tag))


def has_key() -> bool:
    """Return True if there is a W&B API key; no server is asked."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    file = expanded(os.environ.get("NETRC") or "~/.netrc")
    try:
        known = netrc.netrc(str(file)).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    base = urlparse(os.environ.get("WANDB_BASE_URL", "")).hostname
    return any(host in known for host in (*HOSTS, base) if host)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence W&B's logger, which prints at start and end whatever its settings are.

    Redirecting the streams of the process from a thread would swallow the run's own lines."""
    logger = logging.getLogger("wandb")
    level, logger.level = logger.level, logging.CRITICAL
    try:
        yield
    finally:
        logger.level = level
