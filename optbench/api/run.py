"""`optbench.run`: one training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.api.progress import progress_shown
from optbench.api.words import Overrides, check_flags, check_texts, path_of, words_of
from optbench.errors import path_errors
from optbench.store import results_root

if TYPE_CHECKING:
    import polars


class RunResult(dict[str, Any]):
    """result.json of a run as a dict, with the run's `folder` beside it."""

    def __init__(self, result: Mapping[str, Any], folder: Path, run: Mapping[str, Any]) -> None:
        super().__init__({**result, "folder": str(folder)})
        self.run = run
        """run.json: configuration, versions, hardware."""

    def __reduce__(self) -> tuple[object, ...]:
        result = {key: value for key, value in self.items() if key != "folder"}
        return type(self), (result, Path(self["folder"]), self.run)

    @property
    def succeeded(self) -> bool:
        """True if the run has come to its end; see "status" and "reason" where it has not."""
        from optbench.records import Status

        return Status(self["status"]).succeeded

    def records(self) -> polars.DataFrame:
        """Return a row for each record, in order; `optbench list columns` explains the columns."""
        from optbench.reports.read.record_frames import read_records

        return read_records({self["run_id"]: Path(self["folder"]) / "metrics.jsonl"})[0]

    @property
    def lines(self) -> list[str]:
        """The summary that the command line prints."""
        from optbench.trackers.summary import summary_lines

        return summary_lines(dict(self.run), self, Path(self["folder"]))

    def __repr__(self) -> str:
        from optbench.trackers.console import number

        final, metric = self.get("final") or {}, self.get("metric") or "metric"
        values = f"{metric} {number(final.get('val_metric'))} on validation, {number(final.get('test_metric'))} on test"
        return f"<{self['run_id']}: {self['status']}, {values if self.succeeded else self.get('reason')}>"

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        from optbench.api.display import lines_html

        return lines_html(self.lines[0], self.lines[1:])


@path_errors()
def run(
    overrides: Overrides = (),
    *,
    study: str = "runs",
    results_dir: str | Path | None = None,
    config_dir: str | Path | None = None,
    force: bool = False,
    progress: bool = False,
    **keywords: Any,
) -> RunResult:
    """Train once, like `optbench run` with the same overrides: resume an interrupted run, read a finished one.

    optbench.run("optimizer=lion model=vit"), optbench.run(optimizer="lion", model="vit", steps=100),
    optbench.run({"optimizer.lr": 3e-4}, optimizer="lion"): see `optbench.api.words`. `study`, `results_dir`,
    `config_dir` and `force` are the command's options; `progress` shows on stderr what the command shows.

    A run that diverges or fails is a result too: see "status". Raise ConfigError, MissingError (a dependency, data or a
    device), Interrupted (checkpoint written)."""
    from optbench.config import Composition
    from optbench.sessions.execute import execute
    from optbench.sessions.sinks import sinks_for
    from optbench.store import check_study

    root, own = results_root(path_of("results_dir", results_dir)), path_of("config_dir", config_dir)
    words = words_of(overrides, keywords, run, own)
    check_flags(force=force, progress=progress)
    check_texts(study=study)
    check_study(study or "")
    with progress_shown(progress):
        config = Composition(words, own).run_config()
        sinks = sinks_for(config, progress=progress)
        ended = execute(config, root, study=study, force=force, sinks=sinks)
    return RunResult(ended.result, ended.folder, ended.run)
