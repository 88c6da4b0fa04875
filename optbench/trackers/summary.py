"""The summary of a finished run, as lines of text."""

from __future__ import annotations

from pathlib import Path

from optbench.store import Document
from optbench.trackers.console import duration, number, size


def summary_lines(run: Document, result: Document, folder: Path) -> list[str]:
    """Return the summary of a finished run."""
    final, best, reached = result["final"], result.get("best"), result.get("target")
    metric = result["metric"] or "metric"
    trivial = f"   trivial {number(final['test_trivial'])}" if final.get("test_trivial") is not None else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    lines = [f"{result['run_id']}  {result['status']}{reason}"]
    width = max(12, len(metric))
    lines.append(
        f"  {metric:<{width}} test {number(final['test_metric'])}   validation {number(final['val_metric'])}   "
        f"train {number(final['train_metric'])}{trivial}"
    )
    lines.append(
        f"  {'loss':<{width}} test {number(final['test_loss'])}   validation {number(final['val_loss'])}   "
        f"train {number(final['train_loss'])}"
    )
    if best:
        lines.append(f"  {'best':<12} validation {metric} {number(best['val_metric'])} at step {best['step']:,}")
    if reached:
        where = f"first passed at step {reached['step']:,}" if reached["step"] is not None else "not reached"
        lines.append(f"  {'target':<12} {metric} {reached['value']:g}: {where}")
    measured = time_lines(result) + memory_lines(result) if result["wall_seconds"] is not None else []
    return lines + measured + note_lines(run, result, folder)


def time_lines(result: Document) -> list[str]:
    """Return the lines about time by phase and speed."""
    seconds, speed = result["seconds"], result["throughput"]
    total = sum(seconds.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    split = ", ".join(f"{name} {share:.0%}" for share, name in shares if share >= 0.01)
    lines = [
        f"  {'time':<12} {duration(result['wall_seconds'])}, training {duration(result['train_seconds'])} ({split})",
        f"  {'speed':<12} {number(speed['samples_per_second'], ',.0f')} samples/s, step "
        f"{number(speed['step_ms_median'], '.2f')} ms (95 %: {number(speed['step_ms_p95'], '.2f')} ms)",
    ]
    if speed.get("flops_per_second"):
        use = f", {speed['utilisation']:.0%} of the device's peak" if speed.get("utilisation") else ""
        lines[-1] += f", {speed['flops_per_second'] / 1e9:,.1f} GFLOP/s{use}"
    return lines


def memory_lines(result: Document) -> list[str]:
    """Return the line about memory."""
    held = result["bytes"]
    state = sum(held["optimizer_state"].values())
    peak = held.get("peak_allocated")
    most = f"peak {size(peak)} on the device" if peak is not None else f"peak {size(held.get('resident'))} resident"
    return [f"  {'memory':<12} parameters {size(held['parameters'])}, optimizer state {size(state)}, {most}"]


def note_lines(run: Document, result: Document, folder: Path) -> list[str]:
    """Return the lines about the optimizer, resumes, unverified data and the results folder."""
    notes = []
    if run:
        engine = f" ({run['engine']})" if run["engine"] else ""
        over = "".join(f", {name}" for name in run.get("modifiers", ()))
        second = run.get("config", {}).get("optimizer_d")
        other = f"; second player: {second['name']} by {second['impl']}" if second else ""
        notes.append(f"  {'optimizer':<12} {run['algorithm']} by {run['implementation']}{engine}{over}{other}")
    if result.get("resumed_from_steps"):
        notes.append(f"  {'resumed':<12} from step {', '.join(f'{step:,}' for step in result['resumed_from_steps'])}")
    if result.get("data_verified") is False:
        notes.append(f"  {'data':<12} NOT VERIFIED: its checksum is not known (data.verify=off)")
    return [*notes, f"  {'results':<12} {folder}"]
