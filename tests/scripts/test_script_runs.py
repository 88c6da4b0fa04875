"""Training scripts of the user, run to their result."""

from __future__ import annotations

from pathlib import Path

from scripts_of_users import LOOP, TAKES, rows, run_script


def test_a_script_is_recorded_and_has_a_result(here: Path) -> None:
    ended = run_script(
        here, TAKES + "run.batch_size\n" + LOOP + "run.finish(val_metric=0.75, test_metric=0.5)\n", "steps=50"
    )
    assert ended.result["status"] == "completed"
    assert ended.result["final"]["val_metric"] == 0.75
    assert ended.result["final"]["test_metric"] == 0.5
    assert ended.result["metric"] == "accuracy"
    assert [row["step"] for row in rows(ended)] == [1, 20, 40]
    assert ended.result["samples"] == 50 * 64
