"""Commands timed from outside, as a user gives them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from optbench.errors import ExpectationFailed

KIB = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss
MEASURED = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - began
print(code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def timed_call(command: Sequence[str]) -> tuple[float, int]:
    """Wall seconds of a command and the greatest resident set of its processes in bytes, asked of the system in a
    process that has no other children."""
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, check=True)
    code, seconds, peak = done.stdout.split()
    if int(code):
        raise ExpectationFailed(f"{' '.join(command)} ended with exit code {code}")
    return float(seconds), int(peak) * KIB
