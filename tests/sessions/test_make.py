"""An import path of the configuration names a thing that its key takes, or is refused before it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from optbench import config
from optbench.errors import ConfigError
from optbench.sessions.execute import FinishedRun
from optbench.sessions.make import make

OWN = """
import torch

class Task:
    def __init__(self, model, data, seeds, label_smoothing): ...

class Raises(Task):
    def __init__(self, *arguments, **settings):
        raise RuntimeError("first line\\nsecond")

class Data:
    def __init__(self, path, kind):
        self.path, self.kind = path, kind
    def load(self, root, device, seeds): ...
"""


@pytest.mark.parametrize("target", ["os.system", "torch.nn.Linear", "collections.OrderedDict", "Task", "Raises"])
def test_a_target_that_is_no_task_is_one_error(
    quick_run: Callable[..., FinishedRun], tmp_path: Path, target: str
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    path = target if "." in target else f"{tmp_path}/own.py:{target}"
    with pytest.raises(ConfigError, match=r"no task|own.py, line 9: RuntimeError: first line\n") as caught:
        quick_run(f"model.task.target={path}", "steps=1")
    assert path in str(caught.value)
    written = {file.name for file in (tmp_path / "results").glob("*/*/*") if not file.is_dir()} - {".lock"}
    assert written == ({"error.txt"} if target == "Raises" else set())


def test_settings_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    data = make("data set", f"{tmp_path}/own.py:Data", path="here", kind="there")
    assert (data.path, data.kind) == ("here", "there")


@pytest.mark.parametrize("target", ["nothing", "''", "a/b", "1"])
def test_a_target_that_is_no_import_path_is_refused_at_once(target: str) -> None:
    with pytest.raises(ConfigError, match=r"model.task.target=.*import path"):
        config.load([f"model.task.target={target}"])
