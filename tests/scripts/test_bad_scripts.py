"""Scripts that go wrong: each has a result with a reason, or one clear error before it is started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts_of_users import ATTACH, FINISH, LOOP, TAKES, rows, run_script

from optbench.config import load
from optbench.errors import ConfigError

ENDS = [  # (what goes wrong, the script, status, words of the reason)
    ("raises", TAKES + "raise ValueError('no data\\nmore')\n", "failed", r"^train.py, line 4: ValueError: no data"),
    ("deep", TAKES + "import json\njson.loads('{')\n", "failed", r"^train.py, line 5: JSONDecodeError"),
    ("exits 3", TAKES + "import sys\nsys.exit(3)\n", "failed", "^exit code 3, without a word"),
    ("exits with words", TAKES + "import sys\nsys.exit('no GPU here')\n", "failed", "^exit code 1: no GPU here"),
    ("before attach", "1 / 0\n" + TAKES, "failed", r"train.py, line 1: ZeroDivisionError: division by zero"),
    ("no module", "import optbench_nothing\n" + TAKES, "failed", r"train.py, line 1: ModuleNotFoundError: No module"),
    ("no metric", TAKES + LOOP, "failed", r"^no metric: call run.finish\(val_metric=...\)"),
    ("nan metric", TAKES + "run.finish(val_metric=float('nan'))\n", "diverged", "^the validation metric is nan"),
    ("infinite", TAKES + "run.finish(val_metric=10**400)\n", "diverged", "^the validation metric is inf"),
    ("nan loss", TAKES + "run.log(step=1, train_loss=float('nan'))\n" + FINISH, "diverged", "loss is nan at step 1"),
    (
        "a string",
        TAKES + "run.log(step=1, train_loss='low')\n",
        "failed",
        r"line 4: ConfigError: train_loss='low'",
    ),
    (
        "a text step",
        TAKES + "run.log(step='one', train_loss=1)\n",
        "failed",
        r"run.log\(step='one'\): ",
    ),
    ("a list", TAKES + "run.log(step=1, val_loss=[1, 2])\n", "failed", r"val_loss='\[1, 2\]': expected one number"),
    ("backwards", TAKES + "for s in (50, 3): run.log(step=s, val_loss=1)\n", "failed", "the step before was 50"),
    (
        "a column of ours",
        TAKES + "run.log(step=1, val_loss=1, wall_seconds=3)\n",
        "failed",
        "'wall_seconds'",
    ),
    ("an unknown result", TAKES + "run.finish(val_metric=1, val_acc=1)\n", "failed", "no value 'val_acc'"),
    ("result without", TAKES + "run.finish(val_metric=None)\n", "failed", "needs a val_metric"),
    ("finishes twice", TAKES + FINISH * 2, "failed", r"line 5: ConfigError: run.finish\(\) was already called"),
    ("logs after finish", TAKES + FINISH + LOOP, "failed", r"run.log\(\) after run.finish\(\)"),
    ("wrong phase", TAKES + "run.phase('forwards')\n", "failed", r"run.phase\('forwards'\)"),
    ("kills itself", TAKES + "import os\nos.kill(os.getpid(), 9)\n", "failed", "^the script was killed by SIGKILL"),
    ("memory", TAKES + "raise MemoryError('out of memory: 3 GiB')\n", "out_of_memory", "out of memory: 3 GiB"),
    ("memory alone", "raise MemoryError\n" + TAKES, "out_of_memory", "MemoryError"),
    ("no optimizer", ATTACH + FINISH, "failed", r"never took the optimizer"),
    ("crash after all", TAKES + FINISH + "1 / 0\n", "failed", "ZeroDivisionError"),
    ("no end", TAKES + "import time\nwhile True: time.sleep(0.01)\n", "timed_out", "the time limit of 2 s"),
    (
        "deaf",
        TAKES + "import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)\n",
        "timed_out",
        "2 s",
    ),
]


@pytest.mark.parametrize(("text", "status", "reason"), [end[1:] for end in ENDS], ids=[end[0] for end in ENDS])
def test_a_bad_script_has_a_result_with_a_reason(here: Path, text: str, status: str, reason: str) -> None:
    limits = ["max_seconds=2", "script.patience_seconds=0.2"] if status == "timed_out" else []
    ended = run_script(here, text, "steps=3", *limits)
    assert (ended.result["status"], bool(re.search(reason, ended.result["reason"]))) == (status, True), ended.result
    assert len(ended.result["reason"].splitlines()) == 1
    assert ("error.txt" in ended.result["reason"]) == (ended.folder / "error.txt").exists()


def test_garbage_among_the_events_is_left_out(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        b"\xff\xfe{",
        b"[" * 10_000,
        b"{}",
        b"3",
        b'{"kind": 7}',
        b'{"kind": "nothing"}',
        b'{"kind": "log"}',
        b'{"kind": "log", "step": -4, "values": {"val_metric": 9}}',
        b'{"kind": "log", "step": 1e300, "values": {"val_metric": 9}}',
        b'{"kind": "log", "step": 2, "values": {"wall_seconds": 1, "a b": 2, "val_metric": "high"}}',
        b'{"kind": "log", "step": 2, "values": [1], "seconds": {"data": -5, "forward": "inf"}}',
        b'{"kind": "end", "step": true, "speed": "fast", "seconds": null}',
    ]
    write = f"import os\nfor line in {lines}: os.write(run._events.handle, line + b'\\n')\n"
    ended = run_script(here, TAKES + LOOP + write + FINISH, "steps=3")
    assert ended.result["status"] == "completed"
    assert [(row["step"], row["train_loss"]) for row in rows(ended)] == [(1, 1.0)]
    assert ended.result["wall_seconds"] == pytest.approx(sum(ended.result["seconds"].values()))
    assert "5 lines of the script's events are no events" in caplog.text


def test_megabytes_of_output_are_kept_in_the_log(here: Path) -> None:
    ended = run_script(here, TAKES + "for _ in range(40): print('x' * 100_000)\n" + FINISH, "steps=3")
    assert ended.result["status"] == "completed"
    assert (ended.folder / "output.log").stat().st_size == 40 * 100_001


REFUSED = [  # (overrides, words of the error)
    (["script=./nothing.py"], "there is no file ./nothing.py"),
    (["script=nothing_at_all"], "'nothing_at_all' is no file, module or command"),
    (["script="], "nothing to start"),
    (["script='"], "quote"),
    (["script=bash 'x"], "a quote is not closed"),
    (["script=./data.txt"], "is not executable"),
    (
        ["script=./train.py", "script.args=--lr {optimizer.lrr}"],
        r"{optimizer.lrr}.*mean {optimizer.lr}\?",
    ),
    (["script=./train.py", "script.args=--lr {optimizer.lr"], "a single '{'"),
    (["script=./train.py", "script.args=--lr '3"], "No closing quotation"),
    (["script=./train.py", "script.direction=up"], "expected null, 'min' or 'max'"),
    (["script=./train.py", "script.lr=3"], "there is no key"),
    (["script=./train.py", "model=vit"], "brings its own model"),
    (["script=./train.py", "data=digits"], "brings its own data"),
    (["script=./train.py", "task=supervised"], "brings its own task"),
    (["script.args=--lr 3"], "there is no script"),
    (["script=./plain.py"], "neither calls optbench nor gets the optimizer"),
    (["script=./syntax.py"], "syntax.py, line 2: SyntaxError: invalid syntax"),
    (["script=./open.py"], "is a larger metric better, or a smaller one"),
    (["script=./train.py", "optimizer=kfac"], "does not fit script=./train.py: it needs second"),
]


@pytest.mark.parametrize(("overrides", "words"), REFUSED)
def test_what_cannot_be_run_is_refused_before_anything_starts(here: Path, overrides: list[str], words: str) -> None:
    files = {"train.py": TAKES, "plain.py": "print(1)", "open.py": "import optbench\noptbench.attach()\n"}
    for name, text in {**files, "syntax.py": "import optbench\nx = = 1\n", "data.txt": "3"}.items():
        Path(name).write_text(text)
    with pytest.raises(ConfigError) as error:
        load([*overrides, *(["script.direction=max"] if "plain" in overrides[0] else [])])
    assert re.search(words, f"{error.value}", re.IGNORECASE | re.DOTALL), str(error.value)
