"""Steps on a GPU: compiled sums use all of it, and the host does not wait."""

from __future__ import annotations

import statistics
import time

import pytest
import torch

from optbench.optimizers.adam import AdamW
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.lamb import LAMB

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
ADAM = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "engine": "compiled"}


def seconds_of(kind: type[RuleOptimizer]) -> float:
    """Return the median seconds of a step on four million elements."""
    theta = torch.ones(1 << 22, device="cuda", requires_grad=True)
    theta.grad = torch.randn_like(theta)
    optimizer = kind([theta], **ADAM)
    optimizer.warm_up()
    assert optimizer.engine == "compiled"
    times = []
    for _ in range(30):
        torch.cuda.synchronize()
        began = time.perf_counter()
        optimizer.step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def test_lambs_sums_use_the_whole_device() -> None:
    """In one block of threads they took some five hundred times as long as AdamW's step."""
    assert seconds_of(LAMB) < 10 * seconds_of(AdamW)
