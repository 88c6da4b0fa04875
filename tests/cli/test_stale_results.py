"""Results of other data or other code are never taken for those of the data and the code that are there now."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from optbench.data.text_files import read_text

Call = Callable[..., tuple[int, str, str]]
QUICK = ("steps=2", "threads=1", "tracker=none", "device=cpu")
IMAGES = ("model=mlp", "data=imagefolder", "data.image_size=8", *QUICK)
TEXT = ("model=gpt", "data=text", "data.vocabulary=259", "data.sequence_length=16")
FUNCTION = ("model=quadratic", *QUICK)
OWN = """
import torch
from {helper} import SCALE

class Mine(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr * SCALE)
"""


def write_images(folder: Path, shade: int) -> Path:
    """Write two classes of plain images, of the same size in bytes for any shade."""
    for part in ("train", "val"):
        for name, offset in (("cat", 0), ("dog", 100)):
            place = folder / part / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(12):
                Image.new("RGB", (8, 8), (offset, number * shade % 256, 0)).save(place / f"{number}.bmp")
    return folder


@pytest.fixture
def run(call: Call, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that trains by `optbench run` and returns its JSON and what it logs."""

    def trained(*words: str) -> dict[str, Any]:
        code, out, err = call("run", *words, "--json", "--results-dir", tmp_path / "results")
        assert code == 0, err
        return {**json.loads(out), "again": "already finished" in err}

    return trained


def test_replaced_images_are_another_run_and_the_old_ones_find_theirs(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    words = (*IMAGES, f"data.path={write_images(tmp_path / 'images', 10)}")
    first = run(*words)
    assert run(*words)["again"]
    write_images(tmp_path / "images", 90)  # the same names and sizes
    second = run(*words)
    assert (second["again"], second["run_id"] == first["run_id"]) == (False, False)
    assert second["final"]["train_loss"] != first["final"]["train_loss"]
    write_images(tmp_path / "images", 10)
    third = run(*words)
    assert (third["again"], third["run_id"]) == (True, first["run_id"])


def test_a_replaced_text_is_another_run(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("one two three four " * 2000)
    words = (*TEXT, *QUICK, f"data.path={file}")
    first = run(*words)
    file.write_text("five six seven nine" * 2000)  # as long
    assert len(read_text(file)) == 38000
    second = run(*words)
    assert (second["again"], second["run_id"] == first["run_id"]) == (False, False)


def test_the_same_relative_path_in_another_folder_is_another_run(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for shade, name in ((10, "a"), (90, "b"), (10, "c")):
        write_images(tmp_path / name / "images", shade)
        monkeypatch.chdir(tmp_path / name)
        made = run(*IMAGES, "data.path=images")
        ids.append((made["run_id"], made["again"]))
    assert ids[0][0] != ids[1][0]
    assert ids[2] == (ids[0][0], True)  # the same content is the same data


def test_a_replaced_tokenizer_is_another_run(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one two three " * 20)
    ids = []
    for piece in ("one", "two"):
        (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[MASK]", "[SEP]", piece]))
        files = (f"data.path={tmp_path}/text.txt", f"data.tokenizer={tmp_path}/vocab.txt")
        ids.append(json.loads(call("run", *TEXT, *files, "--dry-run", "--json")[1])["run_id"])
    assert ids[0] != ids[1]


def test_a_sweep_pools_no_two_contents(call: Call, tmp_path: Path) -> None:
    words = ("sweep", "optimizer=sgd", *IMAGES, f"data.path={tmp_path / 'images'}", "--trials", "1", "--seeds", "2")
    words = (*words, "--study", "s", "--results-dir", str(tmp_path / "results"), "--json", "--jobs", "1")
    tables = []
    for shade, seeds in ((10, "2"), (90, "3")):
        write_images(tmp_path / "images", shade)
        code, out, err = call(*words[:-6], *words[-6:], "--seeds", seeds)
        assert code == 0, err
        tables.append(json.JSONDecoder().raw_decode(out)[0])
    assert tables[1]["runs"]["found"] == 0
    assert tables[1]["cells"][0]["final_test"]["n"] == 3
    hashes = [
        json.loads(file.read_text())["data"]["sha256"]
        for name in ("results/s",)
        for file in sorted((tmp_path / name).glob("*/run.json"))
    ]
    assert len(set(hashes)) == 2
    code, out, err = call("report", tmp_path / "results" / "s", "--text")
    assert code == 0, err
    assert out.count("imagefolder @ ") >= 2  # two workloads, never one table


def write_own(folder: Path, scale: float, helper: str = "helper_of_mine") -> Path:
    """Write an optimizer and the module that it imports."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{helper}.py").write_text(f"SCALE = {scale}\n")
    (folder / "mine.py").write_text(OWN.format(helper=helper))
    return folder / "mine.py"


def test_a_changed_imported_module_is_another_run(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    found = []
    for scale in (1.0, 2.0, 1.0):
        file = write_own(tmp_path, scale)
        found.append(run(f"optimizer={file}:Mine", *FUNCTION))
    assert found[0]["run_id"] != found[1]["run_id"]
    assert found[0]["final"]["val_loss"] != found[1]["final"]["val_loss"]  # the new code ran, in this process too
    assert (found[2]["run_id"], found[2]["again"]) == (found[0]["run_id"], True)


def test_modules_of_one_name_beside_two_files_stay_apart(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    files = [write_own(tmp_path / name, scale) for name, scale in (("a", 1.0), ("b", 3.0))]
    losses = [run(f"optimizer={file}:Mine", *FUNCTION)["final"]["val_loss"] for file in files]
    assert losses[0] != losses[1]


def test_an_edited_optimizer_is_a_second_contender_that_can_be_compared(call: Call, tmp_path: Path) -> None:
    results = ("--results-dir", tmp_path / "results")
    for scale in (1.0, 9.0):
        file = write_own(tmp_path, scale)
        for seed in range(3):
            assert call("run", f"optimizer={file}:Mine", *FUNCTION, f"seed={seed}", *results)[0] == 0
    runs = tmp_path / "results" / "runs"
    code, out, err = call("report", runs, "--text", "--json")
    assert code == 0, err
    (workload,) = json.loads(out)["workloads"]
    names = sorted(row["contender"] for row in workload["rows"])
    assert [name[:7] for name in names] == ["Mine @ ", "Mine @ "]
    assert [len(row["values"]) for row in workload["rows"]] == [3, 3]
    code, out, err = call("compare", *names, runs, "--json")
    assert (code, json.loads(out)["a"]) == (0, names[0]), err
    assert call("compare", names[0][:8], names[1], runs)[0] == 0  # a start is enough
    code, out, err = call("compare", "Mine", names[1], runs)
    assert code == 5
    assert all(name in err for name in names)


@pytest.mark.parametrize("is_relative", [True, False])
def test_the_command_of_a_run_works_as_printed(is_relative: bool, tmp_path: Path) -> None:
    conf = tmp_path / "own conf" / "optimizer"
    conf.mkdir(parents=True)
    about = {"algorithm": "gentle", "target": "torch.optim.SGD", "needs": ["closure"]}
    (conf / "gentle.yaml").write_text(json.dumps({"lr": 0.01, "about": about}))
    write_images(tmp_path / "at home" / "images", 10)
    place = "images" if is_relative else str(tmp_path / "at home" / "images")
    words = ["optimizer=gentle", *IMAGES, f"data.path='{place}'", "--config-dir", "../own conf"]
    trained = optbench(["run", *words, "--results-dir", str(tmp_path / "first")], tmp_path / "at home")
    assert trained.returncode == 0, trained.stderr
    shown = optbench(["report", str(tmp_path / "first" / "runs"), "--json"], tmp_path)
    (printed,) = (run["command"] for run in json.loads(shown.stdout)["runs"])
    typed = printed.replace("optbench run", f"{sys.executable} -m optbench run", 1) + " --json --results-dir "
    done = subprocess.run(
        typed + shlex.quote(str(tmp_path / "second")), shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (before,) = (tmp_path / "first" / "runs").glob("*/result.json")
    first, second = json.loads(before.read_text()), json.loads(done.stdout)
    assert (second["run_id"], second["weights_sha256"]) == (first["run_id"], first["weights_sha256"])


def optbench(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run optbench in a folder."""
    return subprocess.run([sys.executable, "-m", "optbench", *words], cwd=folder, capture_output=True, text=True)


def test_a_large_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optbench.config import content

    (tmp_path / "data").mkdir()
    for number in range(20):
        (tmp_path / "data" / f"{number}.bin").write_bytes(bytes([number]) * 100_000)
    monkeypatch.setattr(content, "CLOCK_SECONDS", -1.0)  # as if the files were old
    first = content.fingerprint(tmp_path / "data")
    content._seen.clear()  # as in another process
    with monkeypatch.context() as patch:
        patch.setattr(content, "file_sha256", lambda file, ends: pytest.fail(f"{file} is read again"))
        assert content.fingerprint(tmp_path / "data") == first
    time.sleep(0.01)
    content._seen.clear()
    (tmp_path / "data" / "7.bin").write_bytes(b"x" * 100_000)
    assert content.fingerprint(tmp_path / "data") != first
