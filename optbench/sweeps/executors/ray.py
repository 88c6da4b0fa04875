"""Tasks of a Ray cluster: one that runs, or one of this machine alone (`address=local`)."""

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
from optbench.sweeps.executors.cluster import ElsewhereExecutor, Gone
from optbench.sweeps.executors.registry import Asked
from optbench.sweeps.executors.remote_worker import work_elsewhere

KNOCK_SECONDS = 5.0
SILENT_KNOCKS = 2  # after which a cluster's head counts as gone
SHUTDOWN_SECONDS = 20.0


def make(asked: Asked) -> ElsewhereExecutor:
    """The executor. MissingError where Ray is not installed or its cluster cannot be reached."""
    ray = connected(asked.settings["address"])
    try:
        resources = ray.cluster_resources()
        cpus = asked.settings["cpus"] or asked.threads
        gpus = gpus_of(asked, resources)
        count = asked.jobs or fitting(resources, cpus, gpus)
    except BaseException:
        ray.shutdown()
        raise
    cluster = RayCluster(ray, cpus, gpus)
    return ElsewhereExecutor(cluster, count, asked.study, asked.settings["lease_seconds"])


def slots(asked: Asked) -> int:
    """Tasks at a time, as far as it is known without the cluster."""
    return asked.jobs or 1


def gpus_of(asked: Asked, resources: Mapping[str, float]) -> float:
    """GPUs of a run: as set, else as many as it uses; with device=auto one where the cluster has any."""
    given = asked.settings["gpus"]
    if given is not None:
        return given
    return asked.cuda_devices or float(asked.device == "auto" and resources.get("GPU", 0.0) > 0)


def fitting(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many runs fit the cluster. ConfigError where not even one does."""
    wanted = {"CPU": float(cpus), "GPU": float(gpus)}
    counts = [resources.get(kind, 0.0) // share for kind, share in wanted.items() if share]
    if not min(counts, default=1.0):
        there = ", ".join(f"{resources.get(kind, 0.0):g} {kind}" for kind in wanted)
        raise ConfigError(
            f"a run needs {cpus:g} CPU and {gpus:g} GPU, and all of the Ray cluster has {there}",
            "Say e.g. --executor ray,cpus=1,gpus=0",
        )
    return int(min(counts, default=1.0))


def connected(address: str) -> Any:
    """Ray, connected. Ray's own log is kept off the terminal."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the devices of a task without GPUs: as they are
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError:
        raise MissingError(
            "--executor ray needs ray, which is not installed", "Install it: pip install 'optbench[ray]'"
        ) from None
    alone = address == "local"
    try:
        knock(address)
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


def knock(address: str) -> None:
    """OSError where nothing listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


class RayCluster:
    """A Cluster of Ray's tasks. Each has a worker process to itself, and none is begun again by Ray: the scheduler
    decides that."""

    def __init__(self, ray: Any, cpus: float, gpus: float) -> None:
        self._ray = ray
        self._head = ray.get_runtime_context().gcs_address
        self._knocked, self._unanswered = time.monotonic(), 0
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(work_elsewhere)

    def submit(self, parcels: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Begin a task for each parcel."""
        return [self._task.options(name=f"optbench {parcel['run_id']}").remote(dict(parcel)) for parcel in parcels]

    def ended(self, handles: Mapping[str, Any]) -> dict[str, Gone]:
        """Tasks that are over."""
        if not handles:
            return {}
        self._mind_head()
        ready, _ = self._ray.wait(list(handles.values()), num_returns=len(handles), timeout=0)
        over = set(ready)
        return {name: self._gone(ref) for name, ref in handles.items() if ref in over}

    def _mind_head(self) -> None:
        """MissingError where the cluster's head does not answer: Ray itself would wait a minute, and end this process
        without a word."""
        if time.monotonic() - self._knocked < KNOCK_SECONDS:
            return
        try:
            knock(self._head)
            self._unanswered = 0
        except OSError:
            self._unanswered += 1
        self._knocked = time.monotonic()
        if self._unanswered >= SILENT_KNOCKS:
            raise MissingError(
                f"the head of the Ray cluster at {self._head} is gone",
                "What has ended is kept; the same command goes on once there is a cluster again",
            )

    def _gone(self, ref: Any) -> Gone:
        try:
            return Gone(self._ray.get(ref), "ended")
        except Exception as error:  # of the worker, its node, or the whole cluster
            return Gone(None, f"ended by {type(error).__name__}: {first_line(error)}")

    def cancel(self, handle: Any) -> None:
        """Kill its worker."""
        with suppress(Exception):
            self._ray.cancel(handle, force=True)

    def forget(self, handle: Any) -> None:
        """Ray frees what nobody holds."""

    def close(self) -> None:
        """Disconnect; a cluster of this machine alone ends. A head that is gone may never answer."""
        leaving = threading.Thread(target=self._ray.shutdown, daemon=True)
        leaving.start()
        leaving.join(SHUTDOWN_SECONDS)
