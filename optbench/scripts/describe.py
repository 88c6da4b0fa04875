"""The configuration of a training script: the nodes of "model" and "data" that `script=COMMAND` stands for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from optbench.config.own import SCRIPT
from optbench.config.sources import module_file
from optbench.config.trees import Node
from optbench.config.user_code import user_error
from optbench.files import read_bytes
from optbench.scripts.commands import argv_of, files_of, own_code
from optbench.scripts.metric_source import STDOUT

TASK = "optbench.scripts.session.Script"
SESSION = "optbench.scripts.session.train"
PATIENCE_SECONDS = 10.0  # for a script that was asked to stop
DEFAULT = "default of a training script"
NO_CURVATURE = "it needs second derivatives of the loss, and a script's loss cannot be evaluated again"


def describe(command: str) -> dict[str, Node]:
    """Return the nodes of "model" and "data". Raises ConfigError for a file, module or command that does not exist.

    The defaults of `metric` and `direction` are those that the script itself gives to optbench.attach()."""
    argv_of(command)
    files = files_of(command)
    sources = {file: read_bytes(file) for file in own_code(files)}
    told = {key: (value, file) for file, source in sources.items() for key, value in attach_words(file, source)}
    settings: Node = {
        "command": command,
        "args": "",
        "metric": told["metric"][0] if "metric" in told else "metric",
        "direction": told["direction"][0] if "direction" in told else None,
        "test_metric": None,
        "read": STDOUT,
        "patience_seconds": PATIENCE_SECONDS,
    }
    origins = dict.fromkeys(settings, DEFAULT) | {key: f"attach() in {file.name}" for key, (_, file) in told.items()}
    model: Node = {
        **settings,
        "task": {"target": TASK},
        "about": {
            "name": name_of(command, files),
            "target": TASK,
            "session": SESSION,
            "check": "optbench.scripts.commands.check",
            "reads": "script",
            "origins": {**origins, "command": f"override {SCRIPT}={command}"},
            "lacks": {"curvature": NO_CURVATURE},
            "files": ["command"],
            "command_lines": ["command", "args"],
            "attaches": any(b"optbench" in source for source in sources.values()) if sources else None,
            "valid": {
                "command": "str",
                "args": "str",
                "metric": "str",
                "direction": "null | min | max",
                "test_metric": "null | str",
                "read": "str",
                "patience_seconds": "[0, inf)",
            },
        },
    }
    return {"model": model, "data": {"about": {"name": "script", "kind": "script", "target": TASK}}}


def name_of(command: str, files: list[Path]) -> str:
    """Return a short name: that of the script's file or module, else of the command."""
    if module_file(command):
        return command.rpartition(".")[2]
    return files[0].stem if files else Path(command.split()[0]).name


def attach_words(file: Path, source: bytes) -> Iterator[tuple[str, str]]:
    """Yield the texts among the keyword arguments of `attach(...)` in a Python file, without running it.

    Raises UserCodeError for a file that is no Python."""
    try:
        tree = ast.parse(source, str(file.resolve()))
    except (SyntaxError, ValueError) as error:
        raise user_error(f"{SCRIPT}: reading {file}", error) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (getattr(node.func, "attr", "") or getattr(node.func, "id", "")) == "attach":
            for word in node.keywords:
                if word.arg and isinstance(word.value, ast.Constant) and isinstance(word.value.value, str):
                    yield word.arg, word.value.value
