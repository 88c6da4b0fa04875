"""The cores that a run shares with other programs: how its threads wait for each other, and how long for a core.

A parallel region of OpenMP ends when its last thread does. The others spin until then: in GNU's OpenMP 300,000 times,
which is milliseconds, before they sleep. Beside other busy programs the last thread waits for a core, and the spinning
ones keep it from one. On a quiet machine, threads that sleep early are slower by a third or more. So `choose_waiting`
looks whether the machine is busy; `optbench bench load` shows both sides.

Source: the manual of GNU libgomp, on GOMP_SPINCOUNT and OMP_WAIT_POLICY.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from optbench.config.notices import say_once
from optbench.records import BUSY_SHARE

SPIN_COUNT = "GOMP_SPINCOUNT"
USERS = (SPIN_COUNT, "OMP_WAIT_POLICY")  # settings of the user that are left alone
BUSY_SPINS = 0  # on a busy machine, where fewer are faster: results/load-cpu.md
LOOKS, PAUSE_SECONDS = 9, 0.01  # at the programs that run, and between two of them
LOOK_SECONDS = 5.0  # of training before a run says that it is slower than alone


def choose_waiting(threads: int) -> None:
    """Let waiting threads sleep early if other programs leave too few cores, unless the user has set how they wait.

    OpenMP reads it when torch is imported: call this before, or before a process is started that will import it."""
    if threads < 2 or any(name in os.environ for name in USERS):
        return
    if running_others() + threads > (os.cpu_count() or 1):
        os.environ[SPIN_COUNT] = str(BUSY_SPINS)


def running_others(file: Path = Path("/proc/loadavg")) -> int:
    """Return how many threads of others run or wait for a core now: the median of some looks; 0 if nobody tells."""
    seen: list[int] = []
    for number in range(LOOKS):
        if number:
            time.sleep(PAUSE_SECONDS)
        try:
            seen.append(int(file.read_text().split()[3].partition("/")[0]) - 1)  # without this one
        except (OSError, ValueError, IndexError):
            return 0
    return max(0, statistics.median_low(seen))


def waiting_settings() -> Mapping[str, str | None]:
    """Return how OpenMP's threads wait in this process; None for what OpenMP decides."""
    return {name: os.environ.get(name) for name in USERS}


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many cores' time the container may take; None without a limit, or where the system does not tell."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = [word for name in files for word in (root / name).read_text().split()]
            allowed, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # "max": no limit
            continue
        if allowed > 0 and period > 0:
            return allowed / period
    return None


class CoreWait:
    """The time that this process's threads ran, and waited for a core, since it was made."""

    def __init__(self, threads: int, folder: Path = Path("/proc/self/task")) -> None:
        self.threads, self.folder = threads, folder
        self.began, self.looked = time.monotonic(), False
        self.before = self.seen()

    def look(self) -> None:
        """Say once, after some seconds, that the run is slower than alone, if it is."""
        if self.looked or time.monotonic() - self.began < LOOK_SECONDS:
            return
        self.looked = True
        if said := problem(self.threads, self.share(), quota()):
            say_once(said)

    def seen(self) -> dict[str, tuple[int, int]]:
        """Return the nanoseconds that each living thread has run and waited for a core; empty if nobody tells."""
        found: dict[str, tuple[int, int]] = {}
        for thread in names(self.folder):
            try:
                ran, waited, _ = (self.folder / thread / "schedstat").read_text().split()
                found[thread] = int(ran), int(waited)
            except (OSError, ValueError):  # the thread has ended, or the kernel counts nothing
                continue
        return found

    def share(self) -> float | None:
        """Return the share of the time waited among the time run or waited, 0 to 1; None if nobody tells."""
        ran = waited = 0
        for thread, (now_ran, now_waited) in self.seen().items():
            then_ran, then_waited = self.before.get(thread, (0, 0))
            ran, waited = ran + now_ran - then_ran, waited + now_waited - then_waited
        return waited / (ran + waited) if ran + waited > 0 else None


def names(folder: Path) -> Sequence[str]:
    """Return the names in a folder; none if it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def problem(threads: int, share: float | None, allowed: float | None) -> str | None:
    """Return in words why a run is slower than alone; None if nothing says so.

    `share`: of its time that it waited for a core so far; `allowed`: cores of the container's quota."""
    if allowed is not None and allowed < threads:
        return (
            f"this container may use {allowed:.3g} cores, and threads={threads}: times are longer than with as many "
            "cores; set threads lower for other numbers, or raise the limit"
        )
    if share is not None and share > BUSY_SHARE:
        return (
            f"this machine is busy: the run's threads waited {share:.0%} of their time for a core "
            f"(load {os.getloadavg()[0]:.1f}, threads={threads}, {usable_cores()} cores). Times are longer than alone; "
            "results are the same"
        )
    return None
