"""The plan of a study for people: sentences and a table."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.config.boxes import PUBLISHED
from optbench.sweeps.display.summary import given_lines
from optbench.sweeps.executors.machine import CONTEXT_BYTES, available_bytes, device_free_bytes
from optbench.sweeps.executors.registry import LOCAL
from optbench.sweeps.scheduler.study_progress import ROUNDS_OF_EXTENSION
from optbench.sweeps.study.cells import FINAL, TUNE
from optbench.sweeps.study.study import Study

STAGES = (TUNE, FINAL)


def plan_lines(study: Study, tree: Mapping[str, Any], root: Path) -> list[str]:
    """Return the plan in sentences, with a warning if disk or memory do not suffice."""
    from optbench.trackers.console import duration, size

    runs, able = tree["runs"], [row for row in tree["cells"] if not row["refused"]]
    lines = [f"{runs['planned']} runs, {runs['ended']} of them already finished"]
    if able and tree["seconds"] is None:
        lines.append(f"{tree['jobs']} at a time; how long a script runs shows once it does")
    elif able:
        lines.append(
            f"about {duration(tree['seconds'])} with {tree['jobs']} at a time, "
            f"{size(tree['disk_bytes'])} of disk; estimated by timing the first steps of every cell"
        )
    lines += [f"{row['cell']} cannot be run: {row['refused']['error']}" for row in tree["cells"] if row["refused"]]
    lines += given_lines(tree["cells"])
    lines += tree["dropped"]
    lines += reservations(study, tree)
    free, available = free_bytes(root), available_bytes()
    if (tree["disk_bytes"] or 0) > free:
        lines.append(f"not enough disk: {size(free)} are free")
    memory = tree["jobs"] * max((row["resident_bytes"] or 0 for row in able), default=0)
    if tree["executor"] == LOCAL and available is not None and memory > available:
        lines.append(f"not enough memory for all {tree['jobs']}: {size(memory)} needed, {size(available)} free")
    return lines + device_lines(tree["devices"], max((row["device_bytes"] or 0 for row in able), default=0))


def device_lines(devices: Sequence[str], needed: int) -> list[str]:
    """Return a warning for each device without room for all runs that share it, each of `needed` bytes."""
    from optbench.trackers.console import size

    lines = []
    for name, count in Counter(devices).items():
        frees = [free for one in name.split(",") if (free := device_free_bytes(one)) is not None]
        if needed and frees and count * (needed + CONTEXT_BYTES) > min(frees):
            total = f"{size(count * (needed + CONTEXT_BYTES))} needed, {size(min(frees))} free"
            lines.append(f"not enough memory on device {name} for all {count}: {total}; further runs wait for room")
    return lines


def reservations(study: Study, tree: Mapping[str, Any]) -> list[str]:
    """Return what can make the study shorter or longer than estimated."""
    lines: list[str] = []
    if study.pruner != "none":
        lines.append(f"--pruner {study.pruner} ends hopeless runs early, which takes less time")
    if tree["stops_early"]:
        lines.append("stop_at_target=true ends runs at the target, which takes less time")
    if study.include_default and any(row["box"] for row in tree["cells"]):
        lines.append("each search tries the optimizer's own values as one more trial (include_default)")
    if study.extend_edges:
        more = ROUNDS_OF_EXTENSION * study.tuning_runs(study.extension_trials)
        lines.append(f"--extend-edges may add up to {more} runs to every cell")
    return lines


def free_bytes(root: Path) -> int:
    """Return the free space on the disk of the results folder, which need not exist yet."""
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free


def box_text(name: str, box: Mapping[str, str]) -> str:
    """Return a search box in one line, with its name unless it is the published one."""
    text = ", ".join(f"{key.partition('.')[2]} {spec}" for key, spec in box.items())
    return text if name in ("", PUBLISHED) else f"{name}: {text}"


def table_row(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the row of a cell in the table for people."""
    from optbench.trackers.console import duration, size

    counts = " + ".join(str(row["runs"][stage]["planned"]) for stage in STAGES)
    ended = sum(row["runs"][stage]["ended"] for stage in STAGES)
    shown = {
        "cell": row["cell"],
        "box": box_text(row["box_name"], row["box"]) or "-",
        "trials": str(row["trials"]),
        "runs (tune + final)": f"{counts}, {ended} done" if ended else counts,
        "steps" if row["evaluated_samples"] is not None else "steps asked of the script": f"{row['steps']:,}",
    }
    if row["evaluated_samples"] is not None:
        shown["samples x evaluations"] = f"{row['evaluated_samples']:,.0f}"
    if row["refused"]:
        return {**shown, "a run takes": "cannot be run", "memory": "-", "disk": "-"}
    seconds = row["run_seconds"]
    if seconds is None:
        return {**shown, "a run takes": "unknown", "memory": "unknown", "disk": "unknown"}
    time = f"{seconds:.2g} s" if seconds < 10 else duration(seconds)
    disk = " + ".join(size(row["disk_bytes"][stage]) for stage in STAGES)
    return {**shown, "a run takes": time, "memory": size(row["resident_bytes"]), "disk": disk}
