"""Do optimizers of other packages run as `optimizer=PACKAGE.CLASS`, or say what to write instead?

    optbench bench strangers
    optbench bench strangers only=torch.optim.Muon,dadaptation.DAdaptAdam

Trains each of strangers.yaml on model=mlp for some steps, in a fresh process, as typed and with what it needs instead.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.benches import Report, comma_separated
from optbench.config import RunConfig
from optbench.config.files import read_yaml
from optbench.config.own_optimizer import file_text
from optbench.errors import ConfigError, suggest

log = logging.getLogger(__name__)
LIST = Path(__file__).with_suffix(".yaml")


def measure(config: RunConfig, only: str = "", steps: int = 20, seconds: float = 300.0) -> Report:
    """Return what happens with each optimizer.

    `only`: import paths separated by commas; by default all of the list. `steps`: steps of a run. `seconds`: limit of a
    run. Raises ConfigError for a path that the list does not have."""
    known: dict[str, Mapping[str, Any]] = {path: facts or {} for path, facts in read_yaml(LIST).items()}
    for path in comma_separated(only):
        if path not in known:
            raise ConfigError(f"only={path}: not in {LIST.name}", suggest(path, known))
    common = ["model=mlp", f"steps={steps}", f"device={config.device}", f"threads={config.threads}", "tracker=none"]
    rows = [tried(path, known[path], common, seconds) for path in comma_separated(only) or known]
    return {"steps": steps, "rows": rows}


def tried(path: str, facts: Mapping[str, Any], common: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return what an optimizer does as typed, and with the words or the file of its `facts`."""
    row = {"optimizer": path, "package": installed(path), "typed": None, "instead": "", "then": None}
    if row["package"] is None:
        return row
    log.info(f"trying {path}")
    row["typed"] = outcome([f"optimizer={path}", *common], {}, seconds)
    if facts:
        file = {"mine": {"about": {"target": path, **facts["about"]}}} if "about" in facts else {}
        words = [f"optimizer={'mine' if file else path}", *facts.get("words", ())]
        row["instead"] = file_text(path, facts["about"]) if file else " ".join(words)
        row["then"] = outcome([*words, *common], file, seconds)
    return row


def installed(path: str) -> str | None:
    """Return the distribution of an import path with its version; None if it is not installed."""
    top = path.partition(".")[0]
    if importlib.util.find_spec(top) is None:
        return None
    names = importlib.metadata.packages_distributions().get(top, [])
    return f"{names[0]} {importlib.metadata.version(names[0])}" if names else "a file"


def outcome(words: Sequence[str], files: Mapping[str, Any], seconds: float) -> str:
    """Return what a run in a fresh process comes to: "completed", or its message with the way out."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            file = Path(folder) / "conf" / "optimizer" / f"{name}.yaml"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(content))
        options = ["--json", "--results-dir", folder] + ["--config-dir", f"{folder}/conf"] * bool(files)
        command = [sys.executable, "-m", "optbench", "run", *words, *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return f"not finished after {seconds:g} s"
        return in_words(done.stdout).replace(folder, "results")


def in_words(printed: str) -> str:
    """Return the answer of `optbench run --json` in a sentence; packages may print beside it."""
    for match in re.finditer(r"^\{", printed, re.MULTILINE):
        try:
            answer = json.JSONDecoder().raw_decode(printed[match.start() :])[0]
        except ValueError:
            continue
        if "error" in answer:
            return ". ".join(filter(None, (answer["error"].rstrip("."), answer.get("hint"))))
        if "status" in answer:
            return answer["status"] + (f": {answer['reason']}" if answer.get("reason") else "")
    return "ended without an answer"


def lines(report: Report) -> list[str]:
    """Return the report as a table in Markdown."""
    return [
        f"model=mlp, {report['steps']} steps",
        "",
        "| optimizer= | package | as typed | instead | then |",
        "|---|---|---|---|---|",
        *(
            "| " + " | ".join(map(cell, (row["optimizer"], row["package"] or "not installed", *rest(row)))) + " |"
            for row in report["rows"]
        ),
    ]


def rest(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the last cells of a row."""
    return row["typed"] or "", f"`{row['instead']}`" * bool(row["instead"]), row["then"] or ""


def cell(text: str) -> str:
    """Return text that a table can hold."""
    return re.sub(r" ?\(Traceback: \S+\)|\. Traceback: \S+|; see error.txt", "", text).replace("|", "\\|")
