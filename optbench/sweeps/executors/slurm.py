"""Jobs of Slurm, through submitit; with `cluster=local` the same jobs as processes of this machine, without Slurm."""

from __future__ import annotations

import importlib
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optbench.errors import MissingError, first_line
from optbench.sweeps.executors.cluster import ElsewhereExecutor, Gone
from optbench.sweeps.executors.local import usable_cores
from optbench.sweeps.executors.registry import Asked
from optbench.sweeps.executors.remote_worker import work_elsewhere

RESULT_SECONDS = 15.0  # until what a job wrote on another machine is seen here
FOLDER = "submitit"  # below the study's logs


def make(asked: Asked) -> ElsewhereExecutor:
    """The executor. MissingError where submitit or Slurm is not there."""
    folder = asked.study.resolve() / "logs" / FOLDER
    cluster = SlurmCluster(asked.settings, folder, asked.threads, gpus_of(asked))
    count, here = slots(asked), asked.settings["cluster"] != "slurm"
    shared = here and count * asked.threads > usable_cores()
    return ElsewhereExecutor(cluster, count, asked.study, asked.settings["lease_seconds"], shared)


def slots(asked: Asked) -> int:
    """Jobs in the queue at once; without a queue, as many as this machine has cores for."""
    here = asked.settings["cluster"] != "slurm"
    return asked.jobs or (max(1, usable_cores() // asked.threads) if here else asked.settings["jobs"])


def gpus_of(asked: Asked) -> int:
    """GPUs of a job: as set, else as many as the runs use; with device=auto none, since Slurm gives what is asked."""
    given = asked.settings["gpus"]
    return asked.cuda_devices if given is None else given


class SlurmCluster:
    """A Cluster of submitit's jobs."""

    def __init__(self, settings: Mapping[str, Any], folder: Path, threads: int, gpus: int) -> None:
        try:
            submitit = importlib.import_module("submitit")
        except ModuleNotFoundError:
            raise MissingError(
                "--executor slurm needs submitit, which is not installed", "Install it: pip install 'optbench[slurm]'"
            ) from None
        if settings["cluster"] == "slurm" and shutil.which("sbatch") is None:
            raise MissingError(
                "--executor slurm: there is no sbatch on this machine",
                "Start the sweep on a machine that submits jobs; without Slurm: --executor slurm,cluster=local",
            )
        self._over: dict[str, float] = {}  # job: when its end was seen
        self._here = settings["cluster"] != "slurm"
        self._executor = submitit.AutoExecutor(folder=folder, cluster=settings["cluster"])
        self._executor.update_parameters(**parameters(settings, threads, gpus))

    def submit(self, parcels: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Begin a job for each parcel: one array of Slurm."""
        try:
            with ignoring_interrupts(self._here), self._executor.batch():
                jobs = [self._executor.submit(work_elsewhere, dict(parcel)) for parcel in parcels]
        except Exception as error:  # submitit raises several kinds, with sbatch's own words
            raise MissingError(f"Slurm takes no job: {first_line(error)}", "See conf/executor/slurm.yaml") from error
        return jobs

    def ended(self, handles: Mapping[str, Any]) -> dict[str, Gone]:
        """Jobs that Slurm no longer runs. What one returned may become visible a little later than its end."""
        over = {name: job for name, job in handles.items() if job.done()}
        now = time.monotonic()
        found = {}
        for name, job in over.items():
            since = self._over.setdefault(job.job_id, now)
            if job.paths.result_pickle.exists() or now - since >= (0.0 if self._here else RESULT_SECONDS):
                found[name] = gone(job)
        return found

    def cancel(self, handle: Any) -> None:
        """scancel; here, SIGKILL: the worker goes when it misses its scheduler."""
        process = getattr(handle, "_process", None)
        if process is not None:
            process.kill()
            process.wait()
            return
        with suppress(Exception):
            handle.cancel(check=False)

    def forget(self, handle: Any) -> None:
        """Delete submitit's files of a job that returned; those of one that was killed tell why."""
        self._over.pop(handle.job_id, None)
        paths = handle.paths
        if paths.result_pickle.exists():
            for file in (paths.submitted_pickle, paths.result_pickle, paths.stdout, paths.stderr):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Slurm needs no word."""


@contextmanager
def ignoring_interrupts(really: bool) -> Iterator[None]:
    """For processes begun meanwhile: the terminal's Ctrl-C does not reach them, their scheduler decides."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if really else None
    except ValueError:  # not the main thread
        before = None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def gone(job: Any) -> Gone:
    """How a job of submitit's ended."""
    words = job.stderr() or ""
    try:
        if job.paths.result_pickle.exists():  # else submitit would wait for it, and everything with it
            error = job.exception()
            if error is None:
                return Gone(job.result(), "ended")
            words = str(error)
    except Exception as unreadable:  # submitit raises many kinds, of a torn file, of a class that is not there
        words = str(unreadable)
    state = str(job.state).lower()
    return Gone(None, f"ended in Slurm's state {state}: {last_line(words)} (see {job.paths.stderr})")


def last_line(words: str) -> str:
    """The last line of a job's own words, which is the end of its traceback."""
    return next((line.strip(" -") for line in reversed(words.splitlines()) if line.strip(" -")), "no output")


def parameters(settings: Mapping[str, Any], threads: int, gpus: int) -> dict[str, Any]:
    """What submitit is told; what is Slurm's alone begins with slurm_, and other clusters pass it over."""
    asked = {
        "name": "optbench",
        "timeout_min": settings["minutes"],
        "cpus_per_task": settings["cpus"] or threads,
        "gpus_per_node": gpus or None,
        "mem_gb": settings["memory_gb"],
        "slurm_partition": settings["partition"],
        "slurm_account": settings["account"],
        "slurm_qos": settings["qos"],
        "slurm_constraint": settings["constraint"],
        "slurm_setup": settings["setup"] or None,
    }
    return {key: value for key, value in asked.items() if value is not None}
