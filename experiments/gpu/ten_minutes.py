"""The studies of this folder in order of importance, under a time limit; the same command goes on where it stopped.

    python experiments/gpu/ten_minutes.py --text TEXT_FILE --images CIFAR_SHEETS --results gpu_results

Runs that ended are skipped, and an interrupted one continues from its checkpoint, also on another machine if the
results folder is taken along. Exit code: 0 all done, 1 a study failed, 3 time ran out."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STOPPING = 25.0  # seconds left to runs to write their checkpoints
DONE, FAILED, TIME_OUT = 0, 1, 3


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--text", required=True, type=Path, help="a text file, or a folder of text files")
    parser.add_argument("--images", type=Path, help="folder of CIFAR-10's sheets; without it the ViT is left out")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--scale", default="h100", help="scale of the studies: h100 or rehearsal")
    parser.add_argument("--results", type=Path, default=Path("gpu_results"))
    parser.add_argument("--per-device", type=int, default=6, help="runs that share the device")
    parser.add_argument("--jobs", type=int, help="concurrent runs; default: as many as fit")
    return parser.parse_args(words)


def steps(asked: argparse.Namespace) -> list[list[str]]:
    """Return the words of each sweep, the most important first."""
    found = [["gpt-text.yaml", f"data.path={asked.text.resolve()}"]]
    if asked.images is not None:
        found.append(["lion-vit.yaml"])
    return found


def command(words: list[str], asked: argparse.Namespace) -> list[str]:
    """Return the command of one sweep."""
    file, *overrides = words
    study = f"{Path(file).stem}-{asked.scale}"
    found = [sys.executable, "-m", "optbench", "sweep", str(HERE / file), *overrides, "--scale", asked.scale]
    found += ["--study", study, "--results-dir", str(asked.results.resolve()), "--per-device", str(asked.per_device)]
    return [*found, "--trust", *(["--jobs", str(asked.jobs)] if asked.jobs else [])]


def run_for(words: list[str], seconds: float, images: Path | None) -> int | None:
    """Run a sweep for so many seconds at most and return its exit code; None: stopped, to be continued."""
    environment = {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", **os.environ}
    if images is not None:
        environment["CIFAR_SHEETS"] = str(images.resolve())
    sweep = subprocess.Popen(words, env=environment, cwd=HERE.parents[1])
    try:
        return sweep.wait(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        sweep.send_signal(signal.SIGTERM)
        try:
            sweep.wait(timeout=STOPPING)
        except subprocess.TimeoutExpired:
            sweep.kill()
            sweep.wait()
    return None


def main(words: list[str] | None = None) -> int:
    """Run the studies until they or the time end."""
    asked = arguments(words)
    started, failed = time.monotonic(), False
    for step in steps(asked):
        left = 60 * asked.minutes - STOPPING - (time.monotonic() - started)
        print(f"== {step[0]}: {left:.0f} s left", flush=True)
        code = run_for(command(step, asked), left, asked.images) if left > 0 else None
        if code is None:
            print("time ran out: the same command goes on", flush=True)
            return TIME_OUT
        failed |= code != 0
    return FAILED if failed else DONE


if __name__ == "__main__":
    sys.exit(main())
