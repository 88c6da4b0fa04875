"""Runs as tasks of a Ray cluster: a running one, or a new one on this machine (`address=local`)."""

from __future__ import annotations

import importlib
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from optbench.errors import ConfigError, MissingError, first_line
from optbench.sweeps.executors.cluster import ClusterExecutor, JobEnd
from optbench.sweeps.executors.registry import ExecutorRequest
from optbench.sweeps.executors.remote_worker import Payload, run_payload

CONNECT_SECONDS = 5.0
MISSES = 2  # consecutive failures to connect before a cluster's head counts as gone
SHUTDOWN_SECONDS = 20.0


def make(request: ExecutorRequest) -> ClusterExecutor:
    """Return the executor. Raises MissingError if Ray is not installed or its cluster cannot be reached."""
    ray = connect(request.settings["address"])
    try:
        resources = ray.cluster_resources()
        cpus = request.settings["cpus"] or request.threads
        gpus = gpus_of(request, resources)
        count = request.jobs or runs_that_fit(resources, cpus, gpus)
    except BaseException:
        ray.shutdown()
        raise
    cluster = RayCluster(ray, cpus, gpus)
    return ClusterExecutor(cluster, count, request.study, request.settings["lease_seconds"])


def slots(request: ExecutorRequest) -> int:
    """Return how many runs it would do at a time, as far as is known without the cluster."""
    return request.jobs or 1


def gpus_of(request: ExecutorRequest, resources: Mapping[str, float]) -> float:
    """Return the GPUs of a run: as set, or as many as it uses; with device=auto one if the cluster has any."""
    given = request.settings["gpus"]
    if given is not None:
        return given
    return request.cuda_devices or float(request.device == "auto" and resources.get("GPU", 0.0) > 0)


def runs_that_fit(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many runs fit the cluster. Raises ConfigError if not even one does."""
    wanted = {"CPU": float(cpus), "GPU": float(gpus)}
    counts = [resources.get(kind, 0.0) // share for kind, share in wanted.items() if share]
    if not min(counts, default=1.0):
        there = ", ".join(f"{resources.get(kind, 0.0):g} {kind}" for kind in wanted)
        raise ConfigError(
            f"a run needs {cpus:g} CPU and {gpus:g} GPU; the whole Ray cluster has {there}",
            "Say e.g. --executor ray,cpus=1,gpus=0",
        )
    return int(min(counts, default=1.0))


def connect(address: str) -> Any:
    """Return the module ray, connected to a cluster, with its log off the terminal."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave a task without GPUs its devices
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError:
        raise MissingError(
            "--executor ray needs ray, which is not installed", "Install it: pip install 'optbench[ray]'"
        ) from None
    alone = address == "local"
    try:
        check_address(address)
        ray.init(
            address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False if alone else None
        )
    except Exception as error:  # Ray raises several kinds
        raise MissingError(
            f"no Ray cluster can be reached at {address}: {first_line(error)}",
            "Start one (ray start --head), or name its address: --executor ray,address=HOST:6379; "
            "address=local starts one on this machine",
        ) from None
    return ray


def check_address(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


class RayCluster:
    """A Cluster of Ray tasks, each in a worker process of its own. Retries are left to the scheduler."""

    def __init__(self, ray: Any, cpus: float, gpus: float) -> None:
        self._ray = ray
        self._head = ray.get_runtime_context().gcs_address
        self._checked, self._misses = time.monotonic(), 0
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(run_payload)

    def submit(self, payloads: Sequence[Payload]) -> list[object]:
        """Start a task for each payload."""
        return [self._task.options(name=f"optbench {payload['run_id']}").remote(payload) for payload in payloads]

    def ended(self, handles: Mapping[str, object]) -> dict[str, JobEnd]:
        """Return the ends of the tasks that have ended. Raises MissingError if the cluster's head has gone."""
        if not handles:
            return {}
        self._check_head()
        ready, _ = self._ray.wait(list(handles.values()), num_returns=len(handles), timeout=0)
        ended = set(ready)
        return {name: self._end_of(ref) for name, ref in handles.items() if ref in ended}

    def _check_head(self) -> None:
        """Raise MissingError if the cluster's head does not answer; Ray itself would wait a minute and end this process
        without a message."""
        if time.monotonic() - self._checked < CONNECT_SECONDS:
            return
        try:
            check_address(self._head)
            self._misses = 0
        except OSError:
            self._misses += 1
        self._checked = time.monotonic()
        if self._misses >= MISSES:
            raise MissingError(
                f"the head of the Ray cluster at {self._head} is gone",
                "Finished runs are kept. Start a cluster and repeat the command to continue",
            )

    def _end_of(self, ref: object) -> JobEnd:
        try:
            return JobEnd(self._ray.get(ref), "ended")
        except Exception as error:  # of the worker, its node, or the whole cluster
            return JobEnd(None, f"ended by {type(error).__name__}: {first_line(error)}")

    def cancel(self, handle: object) -> None:
        """Kill the task's worker."""
        with suppress(Exception):
            self._ray.cancel(handle, force=True)

    def forget(self, handle: object) -> None:
        """Do nothing: Ray frees tasks without references."""

    def close(self) -> None:
        """Disconnect, which ends a cluster that was started here. A head that has gone may never answer."""
        shutdown = threading.Thread(target=self._ray.shutdown, daemon=True)
        shutdown.start()
        shutdown.join(SHUTDOWN_SECONDS)
