"""Commands timed from outside, as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from optbench.errors import ExpectationFailed

KIB = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss
MEASURE = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - began
print(code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def timed_call(command: Sequence[str]) -> tuple[float, int]:
    """Return the wall seconds of a command and the peak resident memory of its processes in bytes.

    A process without other children runs the command, so that the system's figure is the command's own. Raises
    ExpectationFailed if the command fails."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
    code, seconds, peak = done.stdout.split()
    if int(code):
        raise ExpectationFailed(f"{' '.join(command)}: exit code {code}", "Run the command by itself to see the error")
    return float(seconds), int(peak) * KIB
