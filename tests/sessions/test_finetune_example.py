"""The example of fine-tuning, from pretraining to its report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "finetune" / "finetune.py"


@pytest.mark.slow
def test_the_example_ends_in_a_report(tmp_path: Path) -> None:
    root = {"PYTHONPATH": str(EXAMPLE.parents[2])}
    done = subprocess.run(
        [sys.executable, EXAMPLE], cwd=tmp_path, env={**os.environ, **root}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for optimizer in ("adamw", "muon"):
        assert f"mlp-load init={optimizer}-${{seed}}.pt: " in done.stdout
        assert f"init={optimizer}-${{seed}}.pt" in (tmp_path / "report" / "report.html").read_text()
    assert len(list((tmp_path / "weights").glob("*.pt"))) == 16
