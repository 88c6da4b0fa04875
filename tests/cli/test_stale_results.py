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

from optbench import config
from optbench.config.sources import own_modules
from optbench.data.text_files import read_text
from optbench.errors import ConfigError
from optbench.sessions.session import execute

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
    (tmp_path / "text.txt").write_text("one two three " * 2000)  # enough for the run that --dry-run builds
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


@pytest.mark.parametrize("is_relative", [True, pytest.param(False, marks=pytest.mark.slow)])
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


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file."""
    tree = json.loads(file.read_text())
    change(tree)
    file.write_text(json.dumps(tree))


def test_embedded_data_that_another_library_changed_are_no_finished_run(call: Call, tmp_path: Path) -> None:
    words = ("run", "model=mlp", *QUICK, "--results-dir", tmp_path / "results")
    assert call(*words)[0] == 0
    (file,) = (tmp_path / "results" / "runs").glob("*/run.json")
    edit(file, lambda run: run["data"].update(sha256="0" * 64))  # as another scikit-learn would have had it
    code, _, err = call(*words)
    assert code == 2
    assert "is finished, but data=digits is no longer what it was trained on" in err
    assert call(*words, "--force")[0] == 0
    assert call(*words)[0] == 0


def test_a_sweep_continues_on_no_other_data(call: Call, tmp_path: Path) -> None:
    words = ("sweep", "optimizer=sgd", "model=mlp", *QUICK, "--trials", "2", "--jobs", "1", "--study", "s")
    assert call(*words, "--seeds", "1", "--results-dir", tmp_path)[0] == 0
    for file in (tmp_path / "s").glob("*/result.json"):
        edit(file, lambda result: result.update(data_sha256="0" * 64))
    code, _, err = call(*words, "--seeds", "2", "--results-dir", tmp_path)
    assert code == 2
    assert "data=digits is not what earlier runs of the study were trained on" in err


@pytest.mark.parametrize("what", ["code", "data"])
def test_what_changed_after_the_planning_is_not_run_under_the_old_id(what: str, tmp_path: Path) -> None:
    file = write_own(tmp_path, 1.0)
    words = [*IMAGES, f"optimizer={file}:Mine", f"data.path={write_images(tmp_path / 'images', 10)}"]
    planned = config.load(words)
    if what == "code":
        write_own(tmp_path, 2.0)
    else:
        write_images(tmp_path / "images", 90)
    with pytest.raises(ConfigError, match="changed after this run was planned"):
        execute(planned, tmp_path / "results")
    assert not (tmp_path / "results" / "runs" / planned.run_id).exists()


def test_an_edited_package_is_not_run_as_it_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_own(tmp_path / "own_package", 1.0, "own_scale")
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "mine.py").write_text(OWN.format(helper=".own_scale"))
    words = ["optimizer=own_package.mine.Mine", *FUNCTION]
    assert config.load(words).run_id == config.load(words).run_id
    write_own(tmp_path / "other", 2.0, "own_scale")
    (tmp_path / "other" / "own_scale.py").replace(tmp_path / "own_package" / "own_scale.py")
    with pytest.raises(ConfigError, match="was edited after it was imported"):
        config.load(words)


def test_a_users_own_model_task_and_data_count_by_their_source(tmp_path: Path) -> None:
    for folder in ("model", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "net.py").write_text("import torch\ndef build(data): return torch.nn.Linear(64, 10)\n")
    (tmp_path / "loss.py").write_text("from optbench.tasks.image_classification import ImageClassification as Own\n")
    (tmp_path / "table.py").write_text("class Table: ...\n")
    (tmp_path / "rows.csv").write_text("1,2\n")
    model = {"task": {"target": f"{tmp_path}/loss.py:Own"}, "about": {"target": f"{tmp_path}/net.py:build"}}
    data = {"rows": f"{tmp_path}/rows.csv", "about": {"target": f"{tmp_path}/table.py:Table"}}
    (tmp_path / "model" / "net.yaml").write_text(json.dumps(model))
    (tmp_path / "data" / "table.yaml").write_text(json.dumps(data))
    ids = []
    for name in ("", "net.py", "loss.py", "table.py", "rows.csv"):
        if name:
            (tmp_path / name).write_text((tmp_path / name).read_text() + ("# edited\n" if ".py" in name else "3,4\n"))
        ids.append(config.load(["model=net", "data=table"], tmp_path).run_id)
    assert len(set(ids)) == 5


def test_imports_are_followed_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "deep" / "one.py").write_text("from ..two import X\n")  # without __init__.py
    (tmp_path / "parts" / "two.py").write_text("X = 1\n")
    (tmp_path / "late.py").write_text("import mine\n")  # a circle
    (tmp_path / "named.py").write_text("")
    (tmp_path / "other.py").write_text("")
    lines = ("import torch, json", "import parts.deep.one", "def f():", "    import late")
    (tmp_path / "mine.py").write_text("\n".join([*lines, "    importlib.import_module('named')\n"]))
    found = {path.relative_to(tmp_path) for path in own_modules(tmp_path / "mine.py").values()}
    assert {*map(str, found)} == {"parts/__init__.py", "parts/deep/one.py", "parts/two.py", "late.py", "named.py"}


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
