"""Files of the user's own wherever they lie and whatever they are called: each is what was named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Call

NET = """
from torch import nn
{imports}

class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, {width}), nn.ReLU(), nn.Linear({width}, classes))

    def forward(self, x):
        return self.body(x)
"""
DATA = """
import torch
{imports}

def load():
    x = torch.randn(100, {width}, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()
"""


def write(file: Path, text: str, width: object = 3, imports: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(width=width, imports=imports), encoding="utf-8")


def parameters(call: Call, *words: str) -> int:
    """Return the number of parameters that a dry run shows."""
    code, out, err = call("run", "optimizer=lion", "threads=1", "device=cpu", *words, "--dry-run", "--json")
    assert code == 0, err
    tree: Any = json.loads(out)
    return tree["sizes"]["parameters"]["model"]["all"]


def size(inputs: int, width: int, classes: int) -> int:
    return inputs * width + width + width * classes + classes


NAMES = ("my net.py", "a folder/net.py", "nétwörk/módell.py", "网络.py", "it's (1) [x]=y.py", "with.dots/net.v2.py")
SHADOWING = ("random.py", "torch.py", "data.py", "numpy.py", "json.py", "optbench.py", "types.py")


@pytest.mark.parametrize("name", [*NAMES, *SHADOWING])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_with_any_name_is_found(name: str, absolute: bool, here: Path, call: Call) -> None:
    write(here / name, NET, 5, "import json, random, numpy")
    before = {module: sys.modules.get(module) for module in ("random", "torch", "numpy", "json", "types", "optbench")}
    assert parameters(call, "data=digits", f"model={here if absolute else '.'}/{name}:Net") == size(64, 5, 10)
    assert {module: sys.modules.get(module) for module in before} == before


def test_names_of_installed_modules_for_data_and_model_in_one_command(here: Path, call: Call) -> None:
    write(here / "data.py", DATA, 7, "import random, torch")
    write(here / "random.py", NET, 2, "import torch, data")
    assert parameters(call, "data=./data.py:load", "model=./random.py:Net") == size(7, 2, 2)


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_a_linked_file_imports_what_lies_beside_the_real_one(linked: str, here: Path, call: Call) -> None:
    write(here / "real" / "net.py", NET, "WIDTH", "from sizes_of_net import WIDTH")
    (here / "real" / "sizes_of_net.py").write_text("WIDTH = 6\n")
    if linked == "file":
        (here / "link.py").symlink_to(here / "real" / "net.py")
    else:
        (here / "there").symlink_to(here / "real")
    word = "model=./link.py:Net" if linked == "file" else "model=./there/net.py:Net"
    assert parameters(call, "data=digits", word) == size(64, 6, 10)


def test_a_module_of_a_package_with_relative_imports(here: Path, call: Call) -> None:
    write(
        here / "my_package_of_nets" / "nets" / "net.py", NET, "WIDTH", "from ..sizes import WIDTH\nfrom . import other"
    )
    for name in ("__init__.py", "nets/__init__.py", "nets/other.py"):
        (here / "my_package_of_nets" / name).touch()
    (here / "my_package_of_nets" / "sizes.py").write_text("WIDTH = 9\n")
    assert parameters(call, "data=digits", "model=my_package_of_nets.nets.net.Net") == size(64, 9, 10)
    code, _, err = call("run", "data=digits", "model=./my_package_of_nets/nets/net.py:Net", "--dry-run")
    assert code == 2
    assert "Name it within its package: my_package_of_nets.nets.net.Net" in err


def test_files_of_the_same_name_in_two_folders_have_their_own_neighbours(here: Path, call: Call) -> None:
    for folder, text, width in (("a", NET, 4), ("b", DATA, 11)):
        write(here / folder / "mine.py", text, "WIDTH", "from neighbour import WIDTH")
        (here / folder / "neighbour.py").write_text(f"WIDTH = {width}\n")
    words = ("data=./b/mine.py:load", "model=./a/mine.py:Net")
    assert parameters(call, *words) == size(11, 4, 2)
    assert parameters(call, *reversed(words)) == size(11, 4, 2)
