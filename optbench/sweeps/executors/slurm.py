"""Runs as jobs of Slurm, through submitit; with `cluster=local` as processes on this machine, without Slurm.

submitit passes a job to its worker, and the answer back, as pickles in a folder: whoever writes there runs code as the
user. So that folder is private, and none of results/."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optbench.errors import MissingError, first_line
from optbench.files import expanded
from optbench.store.private import cache_folder, private_folder
from optbench.sweeps.executors.cluster import ClusterExecutor, JobEnd
from optbench.sweeps.executors.machine import usable_cores
from optbench.sweeps.executors.registry import ExecutorRequest, Settings
from optbench.sweeps.executors.remote_worker import Payload, run_payload
from optbench.sweeps.executors.signals import ignoring_interrupts

RESULT_SECONDS = 15.0  # until a file that a job wrote on another machine is visible here
FOLDER_HINT = "Name one that all machines share and only you can write to: --executor slurm,folder=PATH"
SlurmJob = Any  # submitit.Job[str]; submitit may be missing


def make(request: ExecutorRequest) -> ClusterExecutor:
    """Return the executor. Raises MissingError if submitit or Slurm is missing."""
    cluster = SlurmCluster(request.settings, request.threads, gpus_of(request))
    count, here = slots(request), request.settings["cluster"] != "slurm"
    shared = here and count * request.threads > usable_cores()
    return ClusterExecutor(cluster, count, request.study, request.settings["lease_seconds"], shared)


def slots(request: ExecutorRequest) -> int:
    """Return how many jobs are in the queue at once; without a queue, as many as this machine has cores for."""
    here = request.settings["cluster"] != "slurm"
    return request.jobs or (max(1, usable_cores() // request.threads) if here else request.settings["jobs"])


def gpus_of(request: ExecutorRequest) -> int:
    """Return the GPUs of a job: as set, or as many as the runs use; with device=auto none."""
    given = request.settings["gpus"]
    return request.cuda_devices if given is None else given


class SlurmCluster:
    """A Cluster of submitit jobs."""

    def __init__(self, settings: Settings, threads: int, gpus: int) -> None:
        try:
            submitit = importlib.import_module("submitit")
        except ModuleNotFoundError:
            raise MissingError(
                "--executor slurm needs submitit, which is not installed", "Install it: pip install 'optbench[slurm]'"
            ) from None
        if settings["cluster"] == "slurm" and shutil.which("sbatch") is None:
            raise MissingError(
                "--executor slurm: this machine has no sbatch",
                "Start the sweep on a machine that submits jobs; without Slurm: --executor slurm,cluster=local",
            )
        self._ended: dict[str, float] = {}  # when a job's end was seen
        self._here = settings["cluster"] != "slurm"
        self._folder = job_folder(settings["folder"])
        self._executor = submitit.AutoExecutor(folder=self._folder, cluster=settings["cluster"])
        self._executor.update_parameters(**parameters(settings, threads, gpus))

    def submit(self, payloads: Sequence[Payload]) -> list[SlurmJob]:
        """Start a job for each payload, as one array of Slurm."""
        try:
            with ignoring_interrupts(self._here), self._executor.batch():
                return [self._executor.submit(run_payload, payload) for payload in payloads]
        except Exception as error:  # submitit raises several kinds, with sbatch's message
            raise MissingError(f"Slurm rejects the job: {first_line(error)}", "See conf/executor/slurm.yaml") from error

    def ended(self, handles: Mapping[str, SlurmJob]) -> dict[str, JobEnd]:
        """Return the ends of the jobs that Slurm no longer runs. A result may become visible a little later."""
        now = time.monotonic()
        found: dict[str, JobEnd] = {}
        for name, job in [(name, job) for name, job in handles.items() if job.done()]:
            since = self._ended.setdefault(job.job_id, now)
            if job.paths.result_pickle.exists() or now - since >= (0.0 if self._here else RESULT_SECONDS):
                found[name] = end_of(job)
        return found

    def cancel(self, handle: SlurmJob) -> None:
        """Cancel a job; without Slurm kill it, and its worker ends when it misses its scheduler."""
        process = getattr(handle, "_process", None)
        if process is not None:
            process.kill()
            process.wait()
            return
        with suppress(Exception):
            handle.cancel(check=False)

    def forget(self, handle: SlurmJob) -> None:
        """Delete submitit's files of a job that returned; those of a killed job say why, and stay."""
        self._ended.pop(handle.job_id, None)
        paths = handle.paths
        if paths.result_pickle.exists():
            for file in (paths.submitted_pickle, paths.result_pickle, paths.stdout, paths.stderr):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete submitit's folder, unless it has the output of killed jobs."""
        if all(file.suffix == ".sh" for file in self._folder.iterdir()):  # what sbatch was given
            shutil.rmtree(self._folder, ignore_errors=True)


def job_folder(setting: str | None) -> Path:
    """Return an empty folder for submitit. Raises StorageError if others could write to it."""
    parent = expanded(setting) if setting else cache_folder() / "slurm"
    return Path(tempfile.mkdtemp(dir=private_folder(parent, FOLDER_HINT), prefix="sweep-"))


def end_of(job: SlurmJob) -> JobEnd:
    """Return how a submitit job ended."""
    output = job.stderr() or ""
    try:
        if job.paths.result_pickle.exists():  # without it submitit would block until there is one
            error = job.exception()
            if error is None:
                return JobEnd(job.result(), "ended")
            output = str(error)
    except Exception as unreadable:  # submitit raises many kinds, of an incomplete file, of an unknown class
        output = str(unreadable)
    state = str(job.state).lower()
    return JobEnd(None, f"ended in Slurm's state {state}: {last_line(output)} (see {job.paths.stderr})")


def last_line(output: str) -> str:
    """Return the last line of a job's output: the end of its traceback."""
    return next((line.strip(" -") for line in reversed(output.splitlines()) if line.strip(" -")), "no output")


def parameters(settings: Settings, threads: int, gpus: int) -> dict[str, Any]:
    """Return submitit's parameters; other clusters ignore those that begin with slurm_."""
    values = {
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
    return {key: value for key, value in values.items() if value is not None}
