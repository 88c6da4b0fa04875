"""The summary of a finished run, as lines of text."""

from __future__ import annotations

from pathlib import Path

from optbench.records import BUSY_SHARE
from optbench.store import Document
from optbench.trackers.console import duration, number, size


def summary_lines(run: Document, result: Document, folder: Path) -> list[str]:
    """Return the summary of a finished run."""
    final, best, reached = (result.get(key) or {} for key in ("final", "best", "target"))
    metric = result.get("metric") or "metric"
    trivial = f"   trivial {number(final['test_trivial'])}" if final.get("test_trivial") is not None else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    lines = [f"{result['run_id']}  {result['status']}{reason}"]
    width = max(12, len(metric))
    lines.append(
        f"  {metric:<{width}} test {number(final.get('test_metric'))}   validation "
        f"{number(final.get('val_metric'))}   train {number(final.get('train_metric'))}{trivial}"
    )
    lines.append(
        f"  {'loss':<{width}} test {number(final.get('test_loss'))}   validation {number(final.get('val_loss'))}   "
        f"train {number(final.get('train_loss'))}"
    )
    if best.get("step") is not None:
        lines.append(f"  {'best':<12} validation {metric} {number(best.get('val_metric'))} at step {best['step']:,}")
    if reached.get("value") is not None:
        where = f"first passed at step {reached['step']:,}" if reached.get("step") is not None else "not reached"
        lines.append(f"  {'target':<12} {metric} {reached['value']:g}: {where}")
    measured = time_lines(result) + memory_lines(result) if result.get("wall_seconds") is not None else []
    return lines + measured + note_lines(run, result, folder)


def time_lines(result: Document) -> list[str]:
    """Return the lines about time by phase and speed."""
    seconds, speed = ({k: v for k, v in (result.get(key) or {}).items() if v} for key in ("seconds", "throughput"))
    total = sum(seconds.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    split = ", ".join(f"{name} {share:.0%}" for share, name in shares if share >= 0.01)
    rate, median, slow = (speed.get(key) for key in ("samples_per_second", "step_ms_median", "step_ms_p95"))
    known = [f"{rate:,.0f} samples/s"] if rate else []
    known += [f"step {number(median, '.2f')} ms (95 %: {number(slow, '.2f')} ms)"] if median else []
    lines = [
        f"  {'time':<12} {duration(result['wall_seconds'])}, training "
        f"{duration(result.get('train_seconds') or 0.0)} ({split})",
        f"  {'speed':<12} {', '.join(known) or 'not known'}",
    ]
    if (waited := speed.get("core_wait_share", 0.0)) > BUSY_SHARE:
        lines[-1] += f", on a busy machine: waited {waited:.0%} of its time for a core"
    if speed.get("flops_per_second"):
        use = f", {speed['utilisation']:.0%} of the device's peak" if speed.get("utilisation") else ""
        lines[-1] += f", {speed['flops_per_second'] / 1e9:,.1f} GFLOP/s{use}"
    return lines


def memory_lines(result: Document) -> list[str]:
    """Return the line about memory."""
    held = result.get("bytes") or {}
    by_kind = held.get("optimizer_state") or {}
    hidden = [kind for kind, value in by_kind.items() if value is None]
    state = size(sum(value or 0 for value in by_kind.values())) if not hidden else f"not measurable ({hidden[0]})"
    peak = held.get("peak_allocated")
    most = f"peak {size(peak)} on the device" if peak is not None else f"peak {size(held.get('resident'))} resident"
    if held.get("evaluation_peak_allocated"):
        most += f" ({size(held['evaluation_peak_allocated'])} in evaluation)"
    frozen = f" ({size(held['frozen_parameters'])} frozen)" if held.get("frozen_parameters") else ""
    parameters = f"parameters {size(held.get('parameters'))}{frozen}"
    return [f"  {'memory':<12} {parameters}, optimizer state {state}, {most}"]


def note_lines(run: Document, result: Document, folder: Path) -> list[str]:
    """Return the lines about the optimizer, resumes, unverified data and the results folder."""
    notes = []
    if run:
        engine = f" ({run['engine']})" if run.get("engine") else ""
        over = "".join(f", {name}" for name in run.get("modifiers", ()))
        second = (run.get("config") or {}).get("optimizer_d")
        other = f"; second player: {second.get('name')} by {second.get('impl')}" if second else ""
        made = f"{run.get('algorithm')} by {run.get('implementation')}{engine}"
        notes.append(f"  {'optimizer':<12} {made}{over}{other}")
    if result.get("resumed_from_steps"):
        notes.append(f"  {'resumed':<12} from step {', '.join(f'{step:,}' for step in result['resumed_from_steps'])}")
    if result.get("data_verified") is False:
        notes.append(f"  {'data':<12} NOT VERIFIED: its checksum is not known (data.verify=off)")
    return [*notes, f"  {'results':<12} {folder}"]
