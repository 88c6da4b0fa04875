"""The commands of the guides about scripts, typed as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / "docs" / "own" / name for name in ("script.md", "integrations.md")]
READMES = sorted(ROOT.glob("examples/*/README.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LONG = (
    ("--trials 4", "--trials 1"),
    ("--trials 2", "--trials 1"),
    ("--seeds 3", "--seeds 1"),
    ("--seeds 2", "--seeds 1"),
)


def blocks() -> list[tuple[str, str]]:
    """Return (guide, commands) of every block that types optbench."""
    found = [
        (file, block)
        for file in (*GUIDES, *READMES)
        for language, block in BLOCK.findall(file.read_text())
        if not language
    ]
    return [(str(file.relative_to(ROOT)), block) for file, block in found if "optbench " in block]


def test_every_block_begins_in_a_folder_of_the_examples() -> None:
    assert len(blocks()) == 9
    for _, block in blocks():
        folder = block.split()[1]
        assert block.startswith("cd examples/") and (ROOT / folder / "train.py").is_file()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("guide", "block"),
    [
        pytest.param(
            guide,
            block,
            id=f"{guide}-{number}",
            marks=pytest.mark.slow if "optbench sweep" in block else [],
        )
        for number, (guide, block) in enumerate(blocks())
    ],
)
def test_a_block_of_commands_runs_as_written(guide: str, block: str, tmp_path: Path) -> None:
    """Only the number of trials and seeds is less than in the text, and the copy of the examples is another folder."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for longer, shorter in LONG:
        block = block.replace(longer, shorter)
    started = f'optbench() {{ {sys.executable} -m optbench "$@"; }}\nset -e\n{block}'
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    environment |= {"HOME": str(tmp_path), "OPTBENCH_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(["bash", "-c", started], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert any(tmp_path.glob("examples/*/results/*/*/result.json"))
    assert ("optbench report" in block) == any(tmp_path.glob("examples/*/report/report.html"))
