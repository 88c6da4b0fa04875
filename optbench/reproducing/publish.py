"""Publish a claim that was run: what a reader needs, in a folder that can be committed.

verdict.json   the claim, its criteria with their evidence, the verdict; scale, versions, hardware, seconds, date
report.md      the report, with the pictures
figure.png     the criteria's intervals
runs.png       the runs behind the first of them
runs.csv       a row for each run, without logs (runs.parquet if that would be too large)"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from optbench.reports.read.columns import COLUMNS, RunRow
from optbench.reports.render.write import plain, write_text
from optbench.reproducing.document import (
    FILE,
    SCHEMA,
    CriterionDocument,
    EstimateDocument,
    StandingDocument,
    VerdictDocument,
    folder_name,
)
from optbench.store import storage_errors, write_atomically

if TYPE_CHECKING:
    from optbench.reports.model.content import Claim, Estimate, Report, Resources
    from optbench.reports.read.reading import Results

LARGEST = 1_000_000  # bytes of a file
LEFT_OUT = {"config", "pictures", "searched", "seconds", "folder", "study", "run_id", "trial_id"}
REPORT, RUNS = "report.md", "runs"
OPTIMIZER_SECONDS = "optimizer_seconds"
"""The one phase whose seconds are published: a claim may compare it."""
KEPT = ("device", "precision", "versions", "git_commits", "runs", "run_seconds", "date", "command")
"""The keys of a published verdict that stay when the claim is decided again."""


@dataclass(frozen=True)
class ReproducedClaim:
    """A claim that was run, with its report."""

    slug: str
    scale: str | None
    title: str
    spec: object
    """`claim:` of the study file."""
    report: Report
    results: Results
    before: VerdictDocument | None = None
    """The published verdict, if this one is decided again from the stored runs."""

    @property
    def claim(self) -> Claim:
        """The verdict."""
        assert self.report.claim is not None  # a study without one is refused before it is run
        return self.report.claim

    @property
    def name(self) -> str:
        """The folder to publish in."""
        return folder_name(self.slug, self.scale)


def publish(of: ReproducedClaim, folder: Path) -> list[Path]:
    """Write everything into a folder and return the files. Raises StorageError."""
    from optbench.reports.model.chapters import document
    from optbench.reports.render.markdown import to_markdown
    from optbench.reproducing.figure import draw

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(of.report, of.claim, of.spec, folder)
    written = [file for file, _ in pictures]
    local = replace(of.report, next_steps=())  # what to type next is for this machine
    opening, _claim, rest = to_markdown(document(local), {}).split("\n\n", 2)  # the heading below has the claim
    shown = [f"![{words}]({file.name})" for file, words in pictures]
    whole = "\n\n".join(part for part in (opening, heading(of), *shown, rest) if part)
    written.append(write_text(folder / REPORT, truncated(whole, command_of(of.slug, of.scale))))
    if of.before is None:
        written.append(write_runs(of.results.runs, folder))
    tree = verdict_document(of) if of.before is None else redecided_document(of, of.before)
    verdict = json.dumps(plain(tree), indent=2, allow_nan=False)
    return [*written, write_text(folder / FILE, f"{verdict}\n")]


def heading(of: ReproducedClaim) -> str:
    """Return the claim, its verdict, and the command that runs it again."""
    verdict = f"{of.title or of.claim.text}: **{of.claim.verdict}**."
    again = command_of(of.slug, of.scale)
    text = f"{verdict} Question and criteria: `experiments/{of.slug}/README.md`; to run it again: `{again}`."
    if of.before is None:
        return text
    runs = f"from the runs of {of.before.get('date') or 'before'} in `{RUNS}.csv`"
    return f"{text} Decided again on {today()} {runs}; curves need their records, which are not kept."


def truncated(text: str, command: str, largest: int = LARGEST) -> str:
    """Return the text, cut at a paragraph if it is larger than a file may be."""
    content = text.encode()
    if len(content) <= largest:
        return text
    kept = content[: largest - 200].decode(errors="ignore").rpartition("\n\n")[0]
    return f"{kept}\n\nThe rest is left out here; `{command}` makes the whole report.\n"


def write_runs(runs: Sequence[RunRow], folder: Path) -> Path:
    """Write the table of runs as CSV, or as parquet if that would be larger than a file may be."""
    from optbench.reports.render.csv import to_csv

    rows = [columns_of(run) for run in runs]
    text = to_csv(rows)
    other = {".csv": ".parquet", ".parquet": ".csv"}
    ending = ".csv" if len(text.encode()) <= LARGEST else ".parquet"
    with storage_errors(folder):
        (folder / f"{RUNS}{other[ending]}").unlink(missing_ok=True)
    if ending == ".csv":
        return write_text(folder / f"{RUNS}.csv", text)
    import polars as pl

    table = pl.DataFrame(rows, infer_schema_length=None)
    path = folder / f"{RUNS}.parquet"
    with storage_errors(path):
        write_atomically(path, lambda out: table.write_parquet(out, compression="zstd"))
    return path


def columns_of(run: RunRow) -> dict[str, object]:
    """Return the published columns of a run, with the overrides that reproduce it."""
    kept: dict[str, object] = {name: run[name] for name in COLUMNS if name not in LEFT_OUT}
    kept |= {OPTIMIZER_SECONDS: (run["seconds"] or {}).get("optimizer")}
    return kept | {"overrides": shlex.join(run["overrides"] or ())}


def verdict_document(of: ReproducedClaim) -> VerdictDocument:
    """Return verdict.json. Its date is the end of the last run, so that the same runs give the same file."""
    runs, claim = of.results.runs, of.claim
    ended = [run for run in runs if run["status"] not in ("open", "pruned")]
    failed = [run for run in ended if run["status"] not in ("completed", "stopped_at_target")]
    return {
        "schema": SCHEMA,
        "slug": of.slug,
        "scale": of.scale,
        "title": of.title or claim.text,
        "claim": of.spec,
        "verdict": claim.verdict,
        "holds": claim.holds,
        "sentence": claim.sentence,
        "seeds": claim.seeds,
        "few_seeds": claim.few,
        "criteria": [cast("CriterionDocument", asdict(one)) for one in claim.criteria],
        "standings": standings(of.report),
        "held_equal": held_equal(of.results),
        "level": of.report.level,
        "interval_level": claim.level,
        "device": "; ".join(distinct(run["hardware"] for run in runs)),
        "precision": distinct(run["precision"] for run in runs),
        "versions": {
            "optbench": distinct(run["optbench_version"] for run in runs),
            "torch": distinct(run["torch_version"] for run in runs),
        },
        "git_commits": distinct(run["git_commit"] for run in runs),
        "runs": {"all": len(runs), "failed": len(failed), "open": sum(run["status"] == "open" for run in runs)},
        "run_seconds": round(sum(run["wall_seconds"] or 0.0 for run in runs), 1),
        "mixed": list(of.report.mixed),
        "date": last_end(of.results),
        "command": command_of(of.slug, of.scale),
    }


def redecided_document(of: ReproducedClaim, before: VerdictDocument) -> VerdictDocument:
    """Return verdict.json of a claim that was decided again; where and when it ran stays as published."""
    from optbench import __version__

    kept = {key: value for key, value in before.items() if key in KEPT}
    first = before.get("again", {}).get("before") or before.get("verdict", "")
    again = {"date": today(), "source": f"{RUNS}.csv", "before": first, "optbench": __version__}
    return cast("VerdictDocument", {**verdict_document(of), **kept, "again": again})


def today() -> str:
    """Return the day, UTC."""
    return datetime.now(UTC).date().isoformat()


def standings(report: Report) -> list[StandingDocument]:
    """Return all contenders over all workloads, best first; empty for a single workload."""
    if report.across is None:
        return []
    known = [score for score in report.across.scores if score.mean.value is not None]
    scores = sorted(known, key=lambda score: -(score.mean.value or 0.0))
    ranks = report.across.ranks
    return [
        {
            "contender": score.contender,
            "iqm": estimate_document(score.mean),
            "mean_rank": estimate_document(score.mean_rank),
            "first": score.rank_first,
            "ranks": {workload: ranks[workload][score.contender] for workload in ranks},
            "weakest": score.weakest,
            "minimum": score.minimum,
            "by_workload": dict(score.by_workload),
            "equivalent": estimate_document(score.equivalent),
            "equivalent_bound": score.equivalent_bound,
            "regret_at_defaults": score.at_defaults.value,
            "failed": sum(row.failed for w in report.workloads for row in w.rows if row.contender == score.contender),
            "speed": mean_ratio(report, score.contender, speed_of),
            "state": mean_ratio(report, score.contender, state_of),
        }
        for score in scores
    ]


def held_equal(results: Results) -> str:
    """Return what a study gave to all contenders alike, in words; empty for runs of several studies or of none."""
    settings = next(iter(results.studies.values()))["settings"] if len(results.studies) == 1 else {}
    if not settings.get("searched"):
        return ""
    own = " and the optimizer's own values" if settings.get("include_default") else ""
    again = f", the best {settings['shortlist']} run again" if settings.get("shortlist") else ""
    parts = [
        "the same samples through gradient evaluations",
        f"{settings['trials']} points of each one's search box{own}{again}",
        f"{settings['seeds']} fresh final seeds, the same for all" if settings.get("paired") else "",
        "no recipes" if settings.get("recipes") is False else "",
    ]
    return "; ".join(part for part in parts if part)


def estimate_document(of: Estimate) -> EstimateDocument:
    """Return an estimate as JSON."""
    return {"value": of.value, "low": of.low, "high": of.high, "n": of.n}


def mean_ratio(report: Report, contender: str, of: Callable[[Resources], float | None]) -> float | None:
    """Return the geometric mean over workloads of a resource relative to the reference's; None if one is unknown."""
    logs = []
    for workload in report.workloads:
        values = {row.contender: of(row) for row in workload.resources}
        own, reference = values.get(contender), values.get(workload.reference or "")
        if not own or not reference:
            return None
        logs.append(math.log(own / reference))
    return math.exp(math.fsum(logs) / len(logs)) if logs else None


def speed_of(row: Resources) -> float | None:
    """Return the samples per second of a contender."""
    return row.samples_per_second.value


def state_of(row: Resources) -> float | None:
    """Return the bytes of optimizer state per byte of parameters of a contender."""
    return row.state_per_parameter


def command_of(slug: str, scale: str | None) -> str:
    """Return the command that runs a claim again."""
    return f"optbench reproduce {slug}" + (f" --scale {scale}" if scale else "")


def distinct(values: Iterable[str | None]) -> list[str]:
    """Return the distinct known values, sorted."""
    return sorted({value for value in values if value is not None})


def last_end(results: Results) -> str | None:
    """Return the day on which the last run ended, UTC."""
    files = [results.root / run["folder"] / "result.json" for run in results.runs]
    stamps = [file.stat().st_mtime for file in files if file.exists()]
    return datetime.fromtimestamp(max(stamps), UTC).date().isoformat() if stamps else None
