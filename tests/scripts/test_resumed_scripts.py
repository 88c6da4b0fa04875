"""Scripts that are interrupted, and go on from their checkpoint folder."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from scripts_of_users import FINISH, TAKES, rows, run_script

from optbench.errors import Interrupted

GOES_ON = """import os, sys, time
saved = run.checkpoint_folder / "step.txt"
first = int(saved.read_text()) if saved.exists() else 0
assert run.resumed == (first > 0)
for step in range(first + 1, run.steps + 1):
    with run.phase("forward"):
        run.log(step=step, train_loss=1 / step)
    if step % 9 == 0:
        run.log(step=step, val_metric=step / 100)
    if step % EVERY == 0:
        saved.write_text(str(step))
    if step == STOP and first == 0:
        END
        while not run.should_stop: time.sleep(0.01)
        sys.exit()
run.finish(val_metric=step / 100)
"""
TERM = "os.kill(os.getppid(), 15)"
TIMES = ("train_seconds", "wall_seconds", "step_ms_median", "step_ms_p95")


def script(every: int, stop: int, end: str) -> str:
    """Return a script that saves its step now and then, and is stopped once."""
    return TAKES + GOES_ON.replace("EVERY", str(every)).replace("STOP", str(stop)).replace("END", end)


@pytest.mark.parametrize(("every", "stop"), [(1, 37), (10, 37), (10, 40), (7, 21), (20, 61)])
def test_an_interrupted_script_ends_with_the_records_of_an_uninterrupted_one(here: Path, every: int, stop: int) -> None:
    text = script(every, stop, TERM)
    with pytest.raises(Interrupted) as interrupted:
        run_script(here, text, "steps=70", "target=0.15")
    assert interrupted.value.exit_code == 128 + signal.SIGTERM
    again = run_script(here, text, "steps=70", "target=0.15")
    (here / "calm").mkdir()
    whole = run_script(here / "calm", script(every, 0, "pass"), "steps=70", "target=0.15")
    assert again.result["status"] == whole.result["status"] == "completed"
    stripped = [[{k: v for k, v in row.items() if k not in TIMES} for row in rows(ended)] for ended in (again, whole)]
    assert stripped[0] == stripped[1]
    assert again.result["resumed_from_steps"] == [stop - stop % every + 1]
    assert again.result["final"]["val_metric"] == 0.7
    assert again.result["best"] == whole.result["best"]
    assert again.result["target"]["step"] == whole.result["target"]["step"] == 18
    seconds = [row["wall_seconds"] for row in rows(again)]
    assert seconds == sorted(seconds)
    assert sum(again.result["seconds"].values()) == pytest.approx(again.result["wall_seconds"])


def test_a_script_that_starts_over_has_no_records_of_before(here: Path) -> None:
    text = script(1, 37, TERM).replace("first = int", "first = 0 and int").replace("first == 0", "not run.resumed")
    text = text.replace("assert run.resumed", "#")
    with pytest.raises(Interrupted):
        run_script(here, text, "steps=50")
    again = run_script(here, text, "steps=50")
    assert [row["step"] for row in rows(again) if row["split"] == "train"] == [1, 20, 40]
    assert again.result["resumed_from_steps"] == []


def test_a_longer_limit_continues_a_script_that_ran_out_of_time(here: Path) -> None:
    text = script(1, 37, "pass")
    short = run_script(here, text, "steps=50", "max_seconds=1")
    assert (short.result["status"], short.result["final"]["val_metric"]) == ("timed_out", 0.36)
    longer = run_script(here, text, "steps=50", "max_seconds=100")
    assert longer.result["status"] == "completed"
    assert longer.result["resumed_from_steps"] == [38]
    assert [row["step"] for row in rows(longer) if row["split"] == "train"] == [1, 20, 40]


def test_the_checkpoint_folder_is_kept_or_deleted_as_asked(here: Path) -> None:
    text = TAKES + "(run.checkpoint_folder / 'x.pt').write_text('3')\n" + FINISH
    kept = run_script(here, text, "steps=3")
    assert (kept.folder / "script_checkpoint" / "x.pt").read_text() == "3"
    dropped = run_script(here, text, "steps=4", "keep_checkpoint=false")
    assert not (dropped.folder / "script_checkpoint").exists()


def test_a_script_that_hears_nothing_is_made_to_stop(here: Path) -> None:
    deaf = "import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\nos.kill(os.getppid(), 2)\ntime.sleep(60)\n"
    with pytest.raises(Interrupted) as interrupted:
        run_script(here, TAKES + deaf, "steps=3", "script.patience_seconds=0")
    assert interrupted.value.exit_code == 130
