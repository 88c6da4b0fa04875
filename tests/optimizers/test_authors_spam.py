"""SPAM beside its authors' code, over clipped spikes and two resets."""

from __future__ import annotations

import pytest
from authors_code import authors, distance

pytestmark = pytest.mark.authors


@pytest.mark.filterwarnings("ignore")  # the code drives a scheduler of torch's by an argument that torch deprecates
def test_spam_is_its_authors() -> None:
    theirs = authors("TianjinYellow/SPAM-Optimizer", "e8185fbe695fdc449953b4a1f96121df5bf0d268", "galore_torch/SPAM.py")
    same = {"threshold": 3, "DeltaT": 70, "warmup_steps": 30, "grad_accu_steps": 20, "weight_decay": 0.1}
    apart = distance(
        ["optimizer=spam", "optimizer.weight_decay=0.1"],  # the others are the file's about.exact
        lambda parameters: theirs.AdamW(parameters, lr=1e-3, no_deprecation_warning=True, **same),
        steps=160,
        factors=lambda t: 1 - t / 200,
    )
    print(apart)
    assert apart < 1e-6
