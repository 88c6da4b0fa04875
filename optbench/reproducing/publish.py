"""What a reader needs of a claim that was run, in a folder that can be committed.

verdict.json   the claim, its criteria with their evidence, the verdict; scale, versions, hardware, seconds, date
report.md      the report, with the pictures
figure.png     the criteria's intervals
runs.png       the runs behind the first of them
runs.csv       a row for each run, without logs (runs.parquet where that would be too large)"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.reports.read.columns import COLUMNS
from optbench.reports.render.write import plain, write_text
from optbench.store import explained, write_atomically

if TYPE_CHECKING:
    from optbench.reports.model.content import Claim, Report
    from optbench.reports.read.reading import Results

SCHEMA = 1
LARGEST = 1_000_000  # bytes of a file
LEFT_OUT = {"config", "pictures", "seconds", "folder", "study", "run_id", "trial_id"}
VERDICT, REPORT, RUNS = "verdict.json", "report.md", "runs"


@dataclass(frozen=True)
class Reproduced:
    """A claim that was run, and what came of it."""

    slug: str
    scale: str | None
    title: str
    asked: Any
    """`claim:` as the study file has it."""
    report: Report
    results: Results

    @property
    def claim(self) -> Claim:
        """The verdict."""
        assert self.report.claim is not None  # a study without one is refused before it is run
        return self.report.claim

    @property
    def name(self) -> str:
        """The folder that it is published in."""
        return "-".join(word for word in (self.slug, self.scale) if word)


def publish(of: Reproduced, folder: Path) -> list[Path]:
    """Write everything into a folder; the files. Raises StorageError where it cannot be written."""
    from optbench.reports.model.chapters import document
    from optbench.reports.render.markdown import to_markdown
    from optbench.reproducing.figure import draw

    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(of.report, of.claim, of.asked, folder)
    written = [file for file, _ in pictures]
    opening, _, rest = to_markdown(document(of.report), {}).partition("\n\n")
    shown = [f"![{words}]({file.name})" for file, words in pictures]
    whole = "\n\n".join(part for part in (opening, heading(of), *shown, rest) if part)
    written.append(write_text(folder / REPORT, cut(whole, command_of(of.slug, of.scale))))
    written.append(write_runs(of.results.runs, folder))
    tree = verdict_tree(of)
    return [*written, write_text(folder / VERDICT, json.dumps(plain(tree), indent=2, allow_nan=False) + "\n")]


def heading(of: Reproduced) -> str:
    """What the claim is, what came out, and what asks it again."""
    said = f"{of.title or of.claim.text}: **{of.claim.verdict}**."
    again = command_of(of.slug, of.scale)
    return f"{said} The question and its criteria: `experiments/{of.slug}/README.md`; again: `{again}`."


def cut(text: str, command: str, largest: int = LARGEST) -> str:
    """The text, ended at a paragraph where it is larger than a file may be."""
    content = text.encode()
    if len(content) <= largest:
        return text
    kept = content[: largest - 200].decode(errors="ignore").rpartition("\n\n")[0]
    return f"{kept}\n\nThe rest is left out here; `{command}` makes the whole report.\n"


def write_runs(runs: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """The table of runs, one row each: as CSV, or as parquet where that would be larger than a file may be."""
    from optbench.reports.render.csv import to_csv

    rows = [row_of(run) for run in runs]
    text = to_csv(rows)
    other = {".csv": ".parquet", ".parquet": ".csv"}
    ending = ".csv" if len(text.encode()) <= LARGEST else ".parquet"
    with explained(folder):
        (folder / f"{RUNS}{other[ending]}").unlink(missing_ok=True)
    if ending == ".csv":
        return write_text(folder / f"{RUNS}.csv", text)
    import polars as pl

    table = pl.DataFrame(rows, infer_schema_length=None)
    path = folder / f"{RUNS}.parquet"
    with explained(path):
        write_atomically(path, lambda out: table.write_parquet(out, compression="zstd"))
    return path


def row_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """One run: its columns, and the overrides that reproduce it."""
    kept = {name: run[name] for name in COLUMNS if name not in LEFT_OUT}
    return {**kept, "overrides": shlex.join(run["overrides"] or ())}


def verdict_tree(of: Reproduced) -> dict[str, Any]:
    """verdict.json. The date is that of the last run's end, so that the same runs give the same file."""
    runs, claim = of.results.runs, of.claim
    ended = [run for run in runs if run["status"] not in ("open", "pruned")]
    failed = [run for run in ended if run["status"] not in ("completed", "stopped_at_target")]
    return {
        "schema": SCHEMA,
        "slug": of.slug,
        "scale": of.scale,
        "title": of.title or claim.text,
        "claim": of.asked,
        "verdict": claim.verdict,
        "holds": claim.holds,
        "sentence": claim.sentence,
        "seeds": claim.seeds,
        "few_seeds": claim.few,
        "criteria": [asdict(one) for one in claim.criteria],
        "standings": standings(of.report),
        "level": of.report.level,
        "device": "; ".join(every(runs, "hardware")),
        "precision": every(runs, "precision"),
        "versions": {"optbench": every(runs, "optbench_version"), "torch": every(runs, "torch_version")},
        "git_commits": every(runs, "git_commit"),
        "runs": {"all": len(runs), "failed": len(failed), "open": sum(run["status"] == "open" for run in runs)},
        "run_seconds": round(sum(run["wall_seconds"] or 0.0 for run in runs), 1),
        "mixed": list(of.report.mixed),
        "date": last_end(of.results),
        "command": command_of(of.slug, of.scale),
    }


def standings(report: Report) -> list[dict[str, Any]]:
    """All contenders over all workloads, the best first; empty where the study has one workload. Costs are geometric
    means over workloads, in units of the reference's."""
    if report.across is None:
        return []
    known = [score for score in report.across.scores if score.iqm.value is not None]
    scores = sorted(known, key=lambda score: -(score.iqm.value or 0.0))
    ranks = report.across.ranks
    return [
        {
            "contender": score.contender,
            "iqm": asdict(score.iqm),
            "mean_rank": asdict(score.mean_rank),
            "first": score.rank_first,
            "ranks": {workload: ranks[workload][score.contender] for workload in ranks},
            "failed": sum(row.failed for w in report.workloads for row in w.rows if row.contender == score.contender),
            "speed": mean_share(report, score.contender, "samples_per_second"),
            "state": mean_share(report, score.contender, "state_per_parameter"),
        }
        for score in scores
    ]


def mean_share(report: Report, contender: str, of: str) -> float | None:
    """A resource of a contender over the reference's, geometric mean over the workloads; None where one is unknown."""
    shares = []
    for workload in report.workloads:
        rows = {row.contender: getattr(row, of) for row in workload.resources}
        own, other = (number_of(rows.get(name)) for name in (contender, workload.reference))
        shares.append(own / other if own and other else None)
    known = [share for share in shares if share is not None]
    return math.exp(math.fsum(map(math.log, known)) / len(known)) if known and len(known) == len(shares) else None


def number_of(value: Any) -> float | None:
    """An estimate's value, or the number itself."""
    return getattr(value, "value", value)


def command_of(slug: str, scale: str | None) -> str:
    """What runs it again."""
    return f"optbench reproduce {slug}" + (f" --scale {scale}" if scale else "")


def every(runs: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    """The values of a column, sorted."""
    return sorted({str(run[column]) for run in runs if run[column] is not None})


def last_end(results: Results) -> str | None:
    """The day of the last run's end, UTC."""
    files = [results.root / run["folder"] / "result.json" for run in results.runs]
    stamps = [file.stat().st_mtime for file in files if file.exists()]
    return datetime.fromtimestamp(max(stamps), UTC).date().isoformat() if stamps else None
