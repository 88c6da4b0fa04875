"""`optbench.sweep`: a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.api.progress import progress_shown
from optbench.api.words import Overrides, check_flags, check_texts, path_of, plain, texts_of, words_of
from optbench.errors import path_errors
from optbench.sweeps.options import SweepOptions

if TYPE_CHECKING:
    import polars

    from optbench.api.compare import ComparisonResult
    from optbench.api.report import ReportResult, Reports


@dataclass(frozen=True, repr=False)
class StudyResult:
    """A study that has been run."""

    tree: Mapping[str, Any]
    """What `optbench sweep --json` prints."""
    problem: str
    """The runs that did not succeed, in words; empty if all did."""

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.tree["study"]

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return Path(self.tree["folder"])

    def __fspath__(self) -> str:
        """Return the folder, so that a study can stand where a path is asked for."""
        return str(self.folder)

    @property
    def winners(self) -> dict[str, dict[str, Any] | None]:
        """The best hyperparameters of each contender; None where no trial succeeded."""
        return {cell["cell"]: cell["best"] for cell in self.tree["cells"]}

    @property
    def table(self) -> polars.DataFrame:
        """A row for each contender: its tuning, its final runs with their 95 % intervals, its best hyperparameters."""
        import polars as pl

        return pl.DataFrame([row_of(cell) for cell in self.tree["cells"]], infer_schema_length=None)

    @property
    def runs(self) -> polars.DataFrame:
        """A row for each run."""
        from optbench.api.results import results

        return results(self.folder).runs

    def report(self, output: str | Path | None = None, **options: Any) -> ReportResult | Reports:
        """Return the report of the study; with `output`, write it too. See `optbench.report`."""
        from optbench.api.report import report

        return report(self.folder, output, **options)

    def compare(self, a: str, b: str, **options: Any) -> ComparisonResult:
        """Return the verdict between two contenders. See `optbench.compare`."""
        from optbench.api.compare import compare

        return compare(a, b, self.folder, **options)

    def __repr__(self) -> str:
        how = self.problem or f"{self.tree['runs']['planned']} runs"
        return f"<study {self.name}: {', '.join(self.winners)}; {how}>"

    def _repr_html_(self) -> str:
        from optbench.api.display import rows_html
        from optbench.sweeps.display.summary import note_lines, table_row

        return rows_html(self.name, [table_row(cell) for cell in self.tree["cells"]], note_lines(self.tree))


def row_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a contender with its numbers."""
    row = {"contender": cell["cell"], "metric": cell["metric"], "trials": cell["trials"], "failed": cell["failed"]}
    row |= {"pruned": cell["pruned"], "tune_val": cell["tune_score"]}
    for split in ("val", "test"):
        found = cell[f"final_{split}"] or {}
        row |= {split: found.get("mean"), f"{split}_half_width": found.get("half_width"), f"{split}_n": found.get("n")}
    return {**row, **(cell["best"] or {})}


@path_errors()
def sweep(
    overrides: Overrides = (),
    *,
    trials: int | None = None,
    seeds: int | None = None,
    tune_seeds: int | None = None,
    shortlist: int | None = None,
    shortlist_seeds: int | None = None,
    sampler: str | None = None,
    search_seed: int | None = None,
    pruner: str | None = None,
    budgets: Sequence[float] | None = None,
    protocol: str | None = None,
    extend_edges: bool | None = None,
    recipes: bool | None = None,
    box: str | None = None,
    allow_unequal: bool | None = None,
    scale: str | None = None,
    study: str | None = None,
    jobs: int | None = None,
    per_device: int = 1,
    pack: int = 1,
    executor: str = "local",
    retry: str | Sequence[str] = (),
    storage: str = "",
    trust: bool = False,
    results_dir: str | Path | None = None,
    config_dir: str | Path | None = None,
    progress: bool = False,
    **keywords: Any,
) -> StudyResult:
    """Tune with equal budgets, then rerun on fresh seeds, like `optbench sweep` with the same overrides and options.

    optbench.sweep(optimizer=["lion", "adamw"], model="mlp", trials=4, seeds=3): a list is a comparison. An interval is
    text: {"optimizer.lr": "tag(log,interval(1e-5,1e-2))"}. A study file is first: ("study.yaml", trust=True).

    Finished runs are read, not repeated. Runs that diverge or fail are results too: see `problem`. Raise ConfigError,
    MissingError, Interrupted (checkpoints written; the same call continues)."""
    settings = {"trials": trials, "seeds": seeds, "tune_seeds": tune_seeds, "sampler": sampler, "pruner": pruner}
    settings |= {"shortlist": shortlist, "shortlist_seeds": shortlist_seeds, "recipes": recipes, "box": box}
    settings |= {"search_seed": search_seed, "budgets": shares(plain(budgets)), "extend_edges": extend_edges}
    settings = {key: plain(value) for key, value in {**settings, "allow_unequal": allow_unequal}.items()}
    check_flags(trust=trust, progress=progress)
    check_texts(protocol=protocol, scale=scale, study=study, executor=executor, storage=storage)
    root, own = path_of("results_dir", results_dir), path_of("config_dir", config_dir)
    again = tuple(texts_of("retry", retry))
    how = SweepOptions(
        protocol, scale, study, jobs, per_device, executor or "local", again, root, own, storage or "", trust, pack
    )
    return swept(words_of(overrides, keywords, sweep, own, sweeps=True), settings, how, progress)


def swept(words: Sequence[str], settings: Mapping[str, Any], how: SweepOptions, progress: bool) -> StudyResult:
    """Run a study and return its result."""
    from optbench.sweeps.outcome import conclude, result_tree
    from optbench.sweeps.start import asked_study, run_study

    with progress_shown(progress):
        how.executor_choice()
        study, cells = asked_study(words, settings, how)
        scheduler = run_study(study, cells, how, progress=progress)
        tree = result_tree(scheduler)
        failures = conclude(scheduler, tree)
    return StudyResult(tree, failures.message if failures else "")


def shares(budgets: Any) -> Any:
    """Return the shares of the budget with whole numbers as real ones; pydantic checks them."""
    if not isinstance(budgets, (list, tuple)):
        return budgets
    return [float(share) if type(share) is int else plain(share) for share in budgets]
