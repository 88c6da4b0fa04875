"""MLflow as a mirror of the results: on the server of MLFLOW_TRACKING_URI, else in a database of the results folder.
`mlflow ui --backend-store-uri sqlite:///results/mlflow.db` shows it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.contracts import Sink
from optbench.records import Record, Status
from optbench.trackers.scalars import scalars, settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DATABASE = "mlflow.db"
RUN_ID = "optbench.run_id"
LONGEST = 500  # characters of a parameter
MOST = 100  # parameters of a call


class Tracker(Sink):
    """A Sink that logs every record to MLflow. `project` is the experiment; a resumed run goes on under its id."""

    def __init__(self, directory: Path, project: str) -> None:
        self.directory, self.project = directory, project
        self.client: MlflowClient | None = None
        self.run_id = ""

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin a run of the experiment, or find the one that an interrupted run began."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)  # what they do with the tables of the database
        results = self.directory.parent.parent.absolute()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results / DATABASE}"
        client = MlflowClient(tracking_uri=uri)
        experiment = self._experiment(client, results)
        found = client.search_runs([experiment], filter_string=f"tags.`{RUN_ID}` = '{run['run_id']}'", max_results=1)
        if found:
            self.run_id = found[0].info.run_id
        else:
            tags = {RUN_ID: str(run["run_id"]), "study": str(run.get("study")), "stage": str(run.get("stage"))}
            self.run_id = client.create_run(experiment, run_name=str(run["run_id"]), tags=tags).info.run_id
            self._log_settings(client, settings(run))
        self.client = client

    def _experiment(self, client: MlflowClient, results: Path) -> str:
        known = client.get_experiment_by_name(self.project)
        if known is None:
            return client.create_experiment(self.project, artifact_location=(results / "mlflow").as_uri())
        return known.experiment_id

    def _log_settings(self, client: MlflowClient, of: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        values = [Param(key, value[:LONGEST]) for key, value in of.items()]
        for first in range(0, len(values), MOST):
            client.log_batch(self.run_id, params=values[first : first + MOST])

    def log(self, record: Record) -> None:
        """Log the numbers of a record."""
        if self.client is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(name, value, now, record.step) for name, value in scalars(record).items()]
        self.client.log_batch(self.run_id, metrics=values)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """End the run with its status."""
        if self.client is None:
            return
        if result is not None:
            self.client.set_tag(self.run_id, "status", str(result["status"]))
        succeeded = result is not None and Status(result["status"]).succeeded
        ended = "KILLED" if result is None else "FINISHED" if succeeded else "FAILED"
        self.client.set_terminated(self.run_id, ended)
