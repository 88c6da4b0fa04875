"""Models of the user's own: each bad one is one clear message with its exit code, and nothing is left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Call

BEGIN = """
import torch
from torch import nn

class Good(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(inputs, classes)
    def forward(self, x):
        return self.fc(self.flatten(x))

"""
BAD = {
    "raises": ("def Net(): raise KeyError('no such size')", "net.py, line 12: KeyError: 'no such size'"),
    "is-a-tuple": ("def Net(): return nn.Linear(64, 10), 3", "gives tuple, not a torch.nn.Module"),
    "is-none": ("def Net(): nn.Linear(64, 10)", "gives NoneType, not a torch.nn.Module"),
    "is-a-class": ("def Net(): return Good", "gives the class Good, not a model"),
    "is-built": ("Net = nn.Linear(64, 10)", "is a model that is built already"),
    "is-a-number": ("Net = 3", "is of type int: it builds no model"),
    "no-parameters": ("def Net(): return nn.Flatten()", "has no parameters"),
    "all-frozen": ("def Net(inputs, classes): return Good(inputs, classes).requires_grad_(False)", "are frozen"),
    "nan": (
        "def Net(inputs, classes):\n    net = Good(inputs, classes)\n    net.fc.weight.data[0, 0] = torch.nan\n"
        "    return net",
        "the initial values of fc.weight are not finite",
    ),
    "meta": (
        "def Net(inputs, classes):\n    with torch.device('meta'):\n        return Good(inputs, classes)",
        "fc.weight is on the device 'meta'",
    ),
    "half": ("def Net(inputs, classes): return Good(inputs, classes).half()", "fc.weight is float16"),
    "complex": ("def Net(inputs, classes): return Good(inputs, classes).to(torch.complex64)", "fc.weight is complex64"),
    "other-device": (
        "class Net(Good):\n    def forward(self, x):\n        return torch.zeros(64, 10, device='meta') @ self.fc.bias",
        r"net.py, line 14: \w*Error: .*meta",
    ),
    "wrong-input": (
        "def Net(): return nn.Sequential(nn.Flatten(), nn.Linear(65, 10))",
        r"inputs \(64, 1, 8, 8\).*shapes",
    ),
    "wrong-output": (
        "def Net(inputs): return Good(inputs, 5)",
        r"Good gives \(64, 5\) for 10 classes: the task needs \(64, 10\)",
    ),
    "extra-dimension": (
        "class Net(Good):\n    def forward(self, x):\n        return super().forward(x)[:, None]",
        r"Net gives \(64, 1, 10\) for 10 classes",
    ),
    "returns-none": ("class Net(Good):\n    def forward(self, x): super().forward(x)", "forward returns None"),
    "returns-a-tuple": (
        "class Net(Good):\n    def forward(self, x): return super().forward(x), x",
        "forward returns a tuple of 2, and the task needs a tensor",
    ),
    "returns-a-dict": (
        "class Net(Good):\n    def forward(self, x): return {'out': super().forward(x)}",
        "forward returns a dict with out",
    ),
    "returns-numpy": (
        "class Net(Good):\n    def forward(self, x): return super().forward(x).detach().numpy()",
        "forward returns a numpy.ndarray",
    ),
    "no-gradient": (
        "class Net(Good):\n    @torch.no_grad()\n    def forward(self, x): return super().forward(x)",
        "the loss has no gradient",
    ),
    "in-place": (
        "class Net(Good):\n    def forward(self, x): return super().forward(x).exp().add_(1)",
        "RuntimeError: .*modified by an inplace operation",
    ),
    "raises-in-forward": (
        "class Net(Good):\n    def forward(self, x):\n        return x.no_such_method()",
        "net.py, line 14: AttributeError: .*no_such_method",
    ),
    "lacks-the-fact": (
        "def Net(vocabulary_size): return nn.Embedding(vocabulary_size, 3)",
        "takes 'vocabulary_size', which data=digits does not have",
    ),
    "reserved": ("def Net(task): return nn.Linear(64, 10)", "'task' can't be a setting"),
    "required": ("def Net(width): return nn.Linear(64, 10)", r"model.width: a value is missing"),
    "unused-lazy": (
        "class Net(Good):\n    def __init__(self, inputs, classes):\n        super().__init__(inputs, classes)\n"
        "        self.unused = nn.LazyLinear(3)",
        "the lazy parameter unused.weight has no shape",
    ),
    "single-sample": (
        "def Net(inputs, classes):\n    return nn.Sequential(Good(inputs, classes), nn.BatchNorm1d(classes))",
        "batch norm needs two or more",
    ),
    "kept": (
        "kept = Good(64, 10)\ndef Net(): return kept",
        "gives a model that a run has trained already",
    ),
    "syntax": ("def Net(: pass", "importing it raised net.py, line 12: SyntaxError"),
    "missing-package": ("import no_such_package_here", "needs the package no_such_package_here"),
    "missing-name": ("def Nett(): pass", "Did you mean Nett"),
}
CODES = {"missing-package": 4}
EXTRA = {"kept": ["micro_batch=auto"], "single-sample": ["batch_size=1"]}


@pytest.mark.filterwarnings("ignore:Lazy modules", "ignore:Complex modules")
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_model_is_one_message(bad: str, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    text, message = BAD[bad]
    (tmp_path / "net.py").write_text(BEGIN + text + "\n")
    monkeypatch.chdir(tmp_path)
    words = ["model=./net.py:Net", "data=digits", "tracker=none", "threads=1", "steps=2", *EXTRA.get(bad, [])]
    code, out, err = call("run", *words)
    assert code == CODES.get(bad, 2), err
    assert len([line for line in err.splitlines() if line.startswith("optbench: ")]) == 1
    assert re.search(message, err), err
    assert "Traceback (most" not in err and "optbench/sessions" not in err and not out
    left = {file.name for file in tmp_path.glob("results/*/*/*") if file.is_file()} - {".lock"}
    assert left <= {"error.txt"}
    if "Error" in message and bad != "syntax":
        assert "Traceback" in next(tmp_path.glob("results/*/*/error.txt")).read_text()
