"""`optbench bench chaos`: struck runs equal undisturbed ones, and what differs is found."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from optbench import config
from optbench.benches import chaos
from optbench.benches.chaos_runs.kinds import KINDS, chosen_kinds, overrides_of, write_images
from optbench.benches.chaos_runs.struck import StruckKind
from optbench.errors import ConfigError
from optbench.store import RunFolder

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@needs_proc
@pytest.mark.parametrize(
    ("kinds", "kills"),
    [
        pytest.param("function", 2, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
        pytest.param("", 3 * len(KINDS), marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
    ids=["one-kind", "all-kinds"],
)
def test_struck_runs_equal_undisturbed_ones(kinds: str, kills: int) -> None:
    report = chaos.measure(config.load([]), kills=kills, kinds=kinds)
    assert report["faults"] == []
    assert report["goal_holds"]
    assert report["kills"] == sum(sum(row["kills"].values()) for row in report["rows"]) == kills
    assert report["resumes"] >= len(report["rows"]) == len(chosen_kinds(kinds))
    assert chaos.lines(report)[-1].endswith("met")


def write(folder: RunFolder, losses: list[float], **result: object) -> None:
    """Write a run's records of steps 0, 1, ..., each with its own time, and its result."""
    folder.path.mkdir(parents=True)
    seconds = len(str(folder.path))
    rows = [{"step": step, "train_loss": loss, "wall_seconds": seconds + step} for step, loss in enumerate(losses)]
    folder.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    full = {
        "run_id": "run",
        "status": "completed",
        "final": {},
        "best": {},
        "steps": 3,
        "samples": 9,
        "gradient_evaluations": 3,
    }
    folder.result_file.write_text(json.dumps({**full, "weights_sha256": "a", "resumed_from_steps": [0, 2], **result}))


@pytest.mark.parametrize(
    ("losses", "result", "different"),
    [
        ([3.0, 2.0, 1.0], {}, set()),
        ([3.0, 2.0, 1.0], {"weights_sha256": "b"}, {"weights"}),
        ([3.0, 2.0, 1.5], {}, {"records"}),
        ([3.0, 2.0], {}, {"records"}),
        ([3.0, 2.0, 1.0], {"status": "failed"}, {"results"}),
    ],
)
def test_what_differs_is_counted(
    tmp_path: Path, losses: list[float], result: dict[str, object], different: set[str]
) -> None:
    kind = StruckKind("a kind", [], "run", tmp_path, Random(0))
    calm, struck = kind.folder("calm"), kind.folder("struck")
    write(calm, [3.0, 2.0, 1.0])
    write(struck, losses, **result)
    kind.compare(calm, struck)
    assert {what for what, count in kind.different.items() if count} == different
    assert kind.resumes == [0, 2]


@pytest.mark.parametrize(("losses", "lost"), [([3.0, 2.0, 1.0], False), ([3.0, 2.0], False), ([3.0], True)])
def test_records_before_a_checkpoint_must_be_kept(tmp_path: Path, losses: list[float], lost: bool) -> None:
    kind = StruckKind("a kind", [], "run", tmp_path, Random(0))
    struck = kind.folder("struck")
    write(struck, losses)
    struck.checkpoints.folder.mkdir()
    (struck.checkpoints.folder / "step-000000002-3f.pt").touch()
    kind.require_kept([{"step": step, "train_loss": 3.0 - step} for step in range(3)], struck)
    assert kind.faults == (["a kind: records before step 2 are lost or differ"] if lost else [])


def test_every_kind_is_a_valid_run_of_its_own(tmp_path: Path) -> None:
    write_images(tmp_path)
    loaded = {name: config.load(overrides_of(line, tmp_path, ["steps=7"])) for name, line in KINDS.items()}
    assert all(run.steps == 7 for run in loaded.values())
    assert len({run.run_id for run in loaded.values()}) == len(KINDS) >= 10


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kinds": "CNN,quantum"}, "no kind contains 'quantum'"),
        ({"kills": 3}, "kills=3: "),
        ({"jobs": 0}, "jobs=0: "),
    ],
)
@needs_proc
def test_bad_settings_are_named(settings: dict[str, int | str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chaos.measure(config.load([]), **settings)  # pyright: ignore[reportArgumentType]
