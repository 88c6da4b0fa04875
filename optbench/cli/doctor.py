"""`optbench doctor`: check this machine."""

from __future__ import annotations

from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output
from optbench.errors import MissingError


def doctor(as_json: AsJson = False, debug: Debug = False) -> None:
    """Check this machine: packages, devices, compiler, folders, W&B."""
    from optbench.cli.probes import FAIL, examine

    findings = examine()
    Output(as_json).table(
        [{"check": f.name, "state": f.state, "detail": f.detail, "remedy": f.remedy} for f in findings]
    )
    failed = [f.name for f in findings if f.state == FAIL]
    if failed:
        raise MissingError(f"{len(failed)} checks failed: {', '.join(failed)}")
