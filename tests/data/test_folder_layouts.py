"""Image folders as people have them: foreign entries, no split folders, unequal classes, odd names."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from optbench import config
from optbench.config import imports, notices
from optbench.config.content import fingerprint
from optbench.contracts import Seeds
from optbench.data.classes import check_classes, require_labels
from optbench.errors import ConfigError, MissingError, OptbenchError

SEEDS = Seeds(init=1, order=2, augment=3)
Notices = Callable[[], list[str]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Notices:
    """The notices of this test."""
    monkeypatch.setattr(notices, "_said", set())
    caplog.set_level(logging.INFO, "optbench")
    return lambda: [record.getMessage() for record in caplog.records]


def draw(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9), (hash(file.name) % 256, 80, 40)).save(file)


def folder_of(root: Path, parts: tuple[str, ...] = ("train", "val"), images: int = 10) -> Path:
    for part in parts:
        for name in ("cat", "dog"):
            for number in range(images):
                draw(root / part / name / f"{number}.png")
    return root


def load(folder: Path | str, *overrides: str, root: Path = Path()) -> Any:
    argv = ["data=imagefolder", f"data.path={folder}", "data.image_size=8", *overrides]
    choice = config.load(argv).data
    return imports.load(choice.target)(**choice.settings).load(root, torch.device("cpu"), SEEDS)


# -- what does not belong to the set -------------------------------------------------------------------------------


def test_foreign_entries_are_left_out_and_counted(tmp_path: Path, said: Notices) -> None:
    folder = folder_of(tmp_path / "set")
    before = (load(folder).sha256, fingerprint(folder))
    for place in (folder, folder / "train", folder / "val" / "cat"):
        for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"):
            draw(place / name / "0.png")
        for name in (".DS_Store", "._0.png", "Thumbs.db", "Desktop.ini"):
            (place / name).write_bytes(b"left by a file manager")
    assert (load(folder).sha256, fingerprint(folder)) == before
    assert said() == [
        f"data.path={folder}: left out 27 hidden or foreign entries ($RECYCLE.BIN, .DS_Store, ._0.png, ...)"
    ]


def test_other_files_and_empty_classes_are_said(tmp_path: Path, said: Notices) -> None:
    folder = folder_of(tmp_path / "set")
    (folder / "train" / "emu").mkdir()
    (folder / "train" / "cat" / "notes.txt").write_text("x")
    draw(folder / "train" / "loose.png")
    data = load(folder)
    assert data.classes == 2
    (line,) = said()
    assert "1 other entry (notes.txt)" in line
    assert "1 image outside the class folders (loose.png)" in line
    assert "1 class folder without images (train/emu)" in line


# -- folders of classes alone ----------------------------------------------------------------------------------------


def flat(root: Path, images: int = 40, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for name in classes:
        for number in range(images):
            draw(root / name / f"{number}.png")
    return root


def names_by_split(data: Any) -> dict[str, set[str]]:
    return {split: {part.describe(n) for n in range(len(part.labels))} for split, part in data.lists.items()}


def test_a_folder_of_classes_is_split_by_names_for_good(tmp_path: Path, said: Notices) -> None:
    folder = flat(tmp_path / "set")
    stream = ("data.in_memory_bytes=0", "data.workers=0")
    before = load(folder, *stream)
    assert all(0 < before.sizes[split] < 20 for split in ("validation", "test"))
    assert sum(before.sizes.values()) == 80
    counts = ", ".join(f"{count} for {split}" for split, count in before.sizes.items())
    assert said() == [f"data.path={folder} has no train/ folder: a hash of their names splits its images into {counts}"]
    for number in range(5):
        draw(folder / "cat" / f"more{number}.png")
    flat(folder, 20, ("axolotl",))
    after = names_by_split(load(folder, *stream))
    assert all(found <= after[split] for split, found in names_by_split(before).items())
    assert load(folder).sizes["train"] == len(after["train"])


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert load(flat(tmp_path / "set", classes=("car", "plane", "train"))).classes == 3


# -- what cannot be used --------------------------------------------------------------------------------------------


def without(part: str, name: str) -> Callable[[Path], None]:
    return lambda root: (folder_of(root, ("train", "val", "test")) / part / name).rename(root / f".{part}")


def extra(root: Path) -> None:
    draw(folder_of(root, ("train", "val", "test")) / "val" / "emu" / "0.png")


def loose(root: Path) -> None:
    for part in ("train", "val"):
        draw(root / part / "0.png")


BAD: dict[str, tuple[Callable[[Path], object], type[OptbenchError], str, str]] = {
    "test lacks a class": (without("test", "cat"), ConfigError, "test split has no sample of class cat", "Add some"),
    "train lacks a class": (without("train", "cat"), ConfigError, "train has images of 1 class only", "another class"),
    "val has one more": (extra, ConfigError, "validation split has a class that the .* lacks: class emu", "Add sampl"),
    "one class": (lambda root: flat(root, 9, ("cat",)), ConfigError, r"1 class only \(cat\)", "another class"),
    "two images": (lambda root: folder_of(root, ("train",), 1), ConfigError, "2 training samples cannot", "Add sam"),
    "four flat": (lambda root: flat(root, 2), ConfigError, "4 images are too few for three", r"data\.validation=0\.\d"),
    "few": (lambda root: folder_of(root, ("train",), 2), ConfigError, "cannot take 0", r"Set data\.validation=0\.25"),
    "nothing": (lambda root: root.mkdir(), MissingError, "has no folders, but it needs train/CLASS", "such a folder"),
    "no classes": (loose, MissingError, "has folders train, val, but it needs train/CLASS", "such a folder"),
    "one folder too high": (lambda root: folder_of(root / "inner"), MissingError, "one folder above", "/inner$"),
    "folds": (lambda root: folder_of(root, ("fold1", "fold2")), MissingError, "has folders fold1, fold2", "such"),
    "a file": (lambda root: root.write_text("x"), MissingError, "is not a folder", "Give a folder"),
    "a pipe": (
        lambda root: os.mkfifo(folder_of(root) / "train" / "cat" / "p.png"),
        MissingError,
        r"cat/p\.png cannot be decoded: Not a regular file",
        "",
    ),
    "a loop of links": (
        lambda root: (folder_of(root) / "train" / "cat" / "l.png").symlink_to("l.png"),
        MissingError,
        r"l\.png cannot be decoded: Too many levels of symbolic links",
        "",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_cannot_be_used_has_a_message_and_a_way_out(name: str, tmp_path: Path) -> None:
    make, kind, message, hint = BAD[name]
    make(tmp_path / "set")
    with pytest.raises(kind, match=message) as caught:
        load(tmp_path / "set")
    assert re.search(hint, caught.value.hint)


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    folder = flat(tmp_path / "set")
    os.rename(folder / "cat" / "0.png", os.fsencode(folder / "cat") + b"/\xff.png")
    for overrides in ((), ("data.in_memory_bytes=0", "data.workers=0")):
        assert sum(load(folder, *overrides).sizes.values()) == 80


@pytest.mark.parametrize("typed", ["nowhere", "./nowhere/x", "~/nowhere", "~nosuchuser/x"])
@pytest.mark.parametrize("data", ["imagefolder", "imagenet", "hf", "text"])
def test_a_path_that_is_not_there_is_named_as_typed(data: str, typed: str, tmp_path: Path) -> None:
    if data == "hf" and typed == "nowhere":
        pytest.skip("may be a name on the hub")
    model = "gpt" if data == "text" else "mlp"
    choice = config.load([f"data={data}", f"data.path='{typed}'", f"model={model}"]).data
    with pytest.raises(MissingError, match=rf"^data\.path={typed}: there is no ") as caught:
        imports.load(choice.target)(**choice.settings).load(tmp_path, torch.device("cpu"), SEEDS)
    assert "nowhere" in caught.value.message or "nosuchuser" in caught.value.message
    assert caught.value.hint


# -- classes of any set ------------------------------------------------------------------------------------------------


def labels(**parts: list[int]) -> dict[str, torch.Tensor]:
    return {split: torch.tensor(part, dtype=torch.long) for split, part in parts.items()}


def test_a_cut_split_may_lack_a_rare_class(said: Notices) -> None:
    parts = labels(train=[0, 1, 2], validation=[0, 1], test=[0, 1, 2])
    check_classes("x", parts, ["cat", "dog", "emu"], given=["test"])
    assert said() == ["x: the validation split, cut from the training samples, lacks class emu"]
    with pytest.raises(ConfigError, match="the validation split has no sample of class emu"):
        check_classes("x", parts, ["cat", "dog", "emu"], given=["validation", "test"])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (labels(train=[0, 1], validation=[1], test=[]), "the test split has no samples"),
        (labels(train=[0, 1], validation=[1], test=[2]), "the test split has the label 2, but the 2 classes"),
        (labels(train=[1, 2], validation=[1], test=[1]), "the train split has the label 2"),
        (labels(train=[0, 1], validation=[1], test=[-1]), "the test split has the label -1"),
    ],
)
def test_labels_are_numbers_of_classes(parts: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        require_labels("x", parts, 2)
    assert caught.value.hint


# -- sets of the datasets library ----------------------------------------------------------------------------------


def hf(folder: Path, labels: dict[str, list[Any]], names: list[str] | None = None) -> Any:
    import datasets

    kind = datasets.ClassLabel(names=names) if names else None
    parts = {}
    for split, values in labels.items():
        rows = {"image": [Image.new("RGB", (9, 9), (n, 80, 40)) for n in range(len(values))], "label": values}
        made = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
        parts[split] = made.cast_column("label", kind) if kind else made
    datasets.DatasetDict(parts).save_to_disk(str(folder))
    choice = config.load(["data=hf", f"data.path={folder}", "data.image_size=8", "data.validation=0.2"]).data
    return imports.load(choice.target)(**choice.settings).load(folder, torch.device("cpu"), SEEDS)


def test_a_test_split_without_labels_is_left_out(tmp_path: Path, said: Notices) -> None:
    data = hf(tmp_path / "set", {"train": [0, 1] * 10, "validation": [0, 1], "test": [-1] * 4}, ["cat", "dog"])
    assert data.sizes == {"train": 16, "validation": 4, "test": 2}
    assert any("left out the test split, which has no labels" in line for line in said())


@pytest.mark.parametrize(
    ("parts", "names", "message", "hint"),
    [
        ({"train": [1, 2, 5] * 4}, None, "has the labels 1, 2, 5, not 0 to 2", "class_encode_column"),
        ({"train": ["a", "b"] * 6}, None, "holds 'a', but labels are integers", "class_encode_column"),
        ({"train": [0, None] * 6}, None, "holds None, but labels are integers", "class_encode_column"),
        ({"train": [0] * 9}, ["cat", "dog"], "samples of one class only", "another class"),
        ({"train": [0, 1] * 6, "test": [0, 0]}, ["cat", "dog"], "the test split has no sample of class dog", "Add som"),
        ({"train": [0, 1] * 6, "test": [0, 2]}, ["a", "b", "c"], "that the training part lacks: class c", "Add samp"),
        ({"train": [0, 1]}, ["cat", "dog"], "2 training samples cannot give", "Add samples"),
    ],
)
def test_labels_of_the_datasets_library(
    parts: dict[str, list[Any]], names: list[str] | None, message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        hf(tmp_path / "set", parts, names)
    assert hint in caught.value.hint
