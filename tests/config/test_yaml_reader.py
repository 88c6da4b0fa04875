"""YAML of a folder that anybody may have made: one clear error that names the file, soon."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.errors import ConfigError
from optbench.sweeps.study.study import make_study

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
ABOUT = "about: {algorithm: x, target: torch.optim.SGD}\n"
HEAD = f"lr: 1.0\n{ABOUT}"

BAD: dict[str, tuple[bytes | Callable[[Path], object], str]] = {
    "alias bomb": (BOMB.encode(), "line 5: more than 5,000 keys and values"),
    "alias of itself": (b"a: &a [1, *a]\n", "line 1: *a contains itself"),
    "merge of itself": (b"a: &a\n  <<: *a\n", "line 2: *a contains itself"),
    "20 MB text": (b"lr: '" + b"x" * 20_000_000 + b"'", "Larger than 1 MiB"),
    "20,000 keys": ("".join(f"k{n}: 1\n" for n in range(20_000)).encode(), "more than 5,000 keys"),
    "deep list": (b"lr: " + b"[" * 100, "line 1: more than 50 levels"),
    "100,000 deep": (b"lr: " + b"[" * 100_000, "line 1: exceeded maximum nesting depth"),
    "deep blocks": ("".join(" " * n + f"k{n}:\n" for n in range(200)).encode(), "more than 50 levels"),
    "a key twice": (HEAD.encode() + b"lr: 2.0\n", "line 3: the key 'lr' is given twice"),
    "tab": (b"lr:\n\t- 1\n", "line 2: found character that cannot start any token"),
    "not UTF-8": (b"lr: 1\nnote: \xff\n", "line 2: not UTF-8 text"),
    "UTF-16": ("lr: 1\n".encode("utf-16"), "line 1: not UTF-8 text"),
    "NUL": (b"lr: 1\nnote: a\0b\n", "line 2: control characters are not allowed"),
    "object": (b"lr: !!python/object/apply:os.system [ls]\n", "line 1: could not determine a constructor"),
    "set": (b"lr: !!set {a, b}\n", "line 1: could not determine a constructor"),
    "long number": (b"lr: " + b"9" * 5000, "integer string conversion"),
    "control character in a key": (b'"l\\x07r": 1\n', "line 1: a key must be plain text"),
    "empty key": (b"null: 1\n", "line 1: a key must be plain text"),
    "about is a list": (b"lr: 1\nabout: [1]\n", "about"),
    "about.valid is a list": (HEAD.replace("{", "{valid: [1], ").encode(), "about.valid=[1]: expected a mapping"),
    "no interval": (HEAD.replace("{", "{valid: {lr: '(0, 1'}, ").encode(), "about.valid.lr=(0, 1: not an interval"),
    "a key with a dot": (f"a.b: 1\n{HEAD}".encode(), "the key 'a.b' has a dot"),
    "no import path": (HEAD.replace("torch.optim.SGD", "SGD").encode(), "target=SGD: expected an import path"),
    "directory": (lambda file: file.mkdir(), "Is a directory"),
    "FIFO": (lambda file: os.mkfifo(file), "Not a regular file"),
    "link loop": (lambda file: file.symlink_to(file), "Too many levels of symbolic links"),
    "link to nothing": (lambda file: file.symlink_to("nowhere"), "No such file or directory"),
}


def make(file: Path, content: bytes | Callable[[Path], object]) -> None:
    """Make a file of this content."""
    file.parent.mkdir(exist_ok=True)
    if callable(content):
        content(file)
    else:
        file.write_bytes(content)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_of_a_users_folder_is_named_soon(tmp_path: Path, kind: str) -> None:
    content, expected = BAD[kind]
    config.load([])  # imports are not timed
    make(tmp_path / "optimizer" / "mine.yaml", content)
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        config.load(["optimizer=mine"], tmp_path)
    assert time.process_time() - began < 1.0
    assert str(tmp_path / "optimizer" / "mine.yaml") in str(caught.value)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("kind", ["alias bomb", "FIFO"])
@pytest.mark.parametrize("group", ["modifier", "workload", "study"])
def test_every_file_is_read_by_the_same_reader(tmp_path: Path, group: str, kind: str) -> None:
    content, expected = BAD[kind]
    file = tmp_path / group / f"{'vit-digits' if group == 'workload' else 'study'}.yaml"
    make(file, content)
    with pytest.raises(ConfigError) as caught:
        make_study([], {}, file=file) if group == "study" else config.load([], tmp_path)
    assert str(file) in str(caught.value)
    assert expected in str(caught.value)


def test_a_byte_order_mark_and_what_omegaconf_reads_are_read_alike(tmp_path: Path) -> None:
    make(tmp_path / "optimizer" / "mine.yaml", f"\ufefflr: 1e-3\nday: 2024-01-01\nsize: 0x10\n{ABOUT}".encode())
    settings = config.load(["optimizer=mine"], tmp_path).optimizer.settings
    assert settings["lr"] == 1e-3
    assert (settings["day"], settings["size"]) == ("2024-01-01", 16)
    from omegaconf import OmegaConf

    for file in sorted(config.packaged_folder().glob("*/*.yaml")):
        theirs = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        assert isinstance(theirs, dict)
        assert config.read_yaml(file) == {key: value for key, value in theirs.items() if key != "defaults"}


def test_a_users_file_may_build_on_another(tmp_path: Path) -> None:
    make(tmp_path / "optimizer" / "mine.yaml", b"defaults: [adamw, _self_]\nlr: 0.125\n")
    settings = config.load(["optimizer=mine"], tmp_path).optimizer.settings
    assert (settings["lr"], settings["weight_decay"]) == (0.125, 0.01)


def test_an_implementation_is_a_name(tmp_path: Path) -> None:
    about = "{algorithm: A, valid: {impl: list str}, implementations: {a: {target: torch.optim.SGD}}}"
    make(tmp_path / "optimizer" / "mine.yaml", f"impl: [a]\nlr: 1.0\nabout: {about}\n".encode())
    with pytest.raises(ConfigError, match=r"mine\.yaml: optimizer\.impl=\['a'\]: unknown implementation"):
        config.load(["optimizer=mine"], tmp_path)


def test_an_optimizer_without_an_algorithm_is_one_of_its_own_name(tmp_path: Path) -> None:
    make(tmp_path / "optimizer" / "mine.yaml", b"lr: 1.0\nabout: {target: torch.optim.SGD}\n")
    assert config.load(["optimizer=mine"], tmp_path).optimizer.about["algorithm"] == "mine"


MINE = "size: 1\nabout: {target: optbench.models.mlp.build, data: digits, valid: {size: 'int [1, 9]'}}\n"


@pytest.mark.parametrize(
    ("task", "target", "settings"),
    [
        ("", "optbench.tasks.supervised.supervised", {"label_smoothing": 0.0}),
        (
            "task: image_classification\n",
            "optbench.tasks.image_classification.ImageClassification",
            {"label_smoothing": 0.0},
        ),
        (
            "task: {name: image_classification, label_smoothing: 0.5}\n",
            "optbench.tasks.image_classification.ImageClassification",
            {"label_smoothing": 0.5},
        ),
        ("task: {target: my_package.Loss, margin: 2}\n", "my_package.Loss", {"margin": 2}),
    ],
)
def test_a_model_names_its_task_or_defines_it(tmp_path: Path, task: str, target: str, settings: dict[str, Any]) -> None:
    make(tmp_path / "model" / "mine.yaml", (task + MINE).encode())
    assert config.load(["model=mine"], tmp_path).model.settings["task"] == {"target": target, **settings}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{margin: 2}", r"mine.yaml: task.target is missing"),
        ("null", r"mine.yaml: task.target is missing"),
        ("maskedlm", r"mine.yaml: task: maskedlm: there is no task 'maskedlm'\nDid you mean task=masked_lm"),
        ("{name: masked_lm, mask_shar: 0.1}", r"mine.yaml: task.mask_shar: unknown key\nDid you mean mask_share"),
        ("{name: image_classification, label_smoothing: 2}", r"mine.yaml: model.task.label_smoothing=2: expected"),
        ("causal_lm", r"task=causal_lm reads text, and data=digits is images"),
    ],
)
def test_a_model_with_a_wrong_task_is_one_error(tmp_path: Path, task: str, message: str) -> None:
    make(tmp_path / "model" / "mine.yaml", f"task: {task}\n{MINE}".encode())
    with pytest.raises(ConfigError, match=message):
        config.load(["model=mine"], tmp_path)


@pytest.mark.parametrize(
    ("overrides", "key", "value", "origin"),
    [
        (["model=gan"], "n_critic", 1, "conf/workload/gan-digits.yaml"),
        (["model=gan"], "loss", "hinge", "conf/model/gan.yaml"),
        (["model=gan"], "features", "auto", "conf/task/image_generation.yaml"),
        (["model=gan"], "target", None, "conf/task/image_generation.yaml"),
        (["model=gan", "task=image_generation"], "loss", "hinge", "conf/model/gan.yaml"),
        (["model=dcgan", "task=image_classification"], "label_smoothing", 0.0, "conf/task/image_classification.yaml"),
        (["model=bert", "task.mask_share=0.5"], "mask_share", 0.5, "override task.mask_share=0.5"),
    ],
)
def test_a_key_of_the_task_has_one_origin(overrides: list[str], key: str, value: object, origin: str) -> None:
    composition = config.Composition(overrides)
    settings = composition.run_config().model.settings["task"]
    assert value is None or settings[key] == value
    assert composition.origin(f"model.task.{key}") == origin
