"""Compiled for CUDA with the engine's example lengths, the sums of large tensors are divided among many blocks."""

from __future__ import annotations

import importlib.util
import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from triton_source import triton_source

from optbench.optimizers.adafactor import adafactor_matrix, adafactor_vector
from optbench.optimizers.core.compiled_call import LARGE_FROM
from optbench.optimizers.core.engine import EXAMPLE_LENGTHS
from optbench.optimizers.lamb import lamb
from optbench.optimizers.lars import lars

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton here"),
    pytest.mark.skipif(torch.__version__[:5] != "2.14.", reason="it answers questions of torch 2.14's compiler"),
]
SMALL, LARGE = EXAMPLE_LENGTHS["cuda"]
SIDES = (1448, 1449)
# without MARS, whose `copy_` of a fake asks for a driver; its norm is LARS's
RULES: dict[str, tuple[Callable[..., None], list[tuple[int, ...]], int]] = {
    "lamb": (lamb, [(LARGE,)] * 4, 7),
    "lars": (lars, [(LARGE,)] * 3, 5),
    "adafactor vector": (adafactor_vector, [(LARGE,)] * 3, 7),
    "adafactor matrix": (adafactor_matrix, [SIDES, SIDES, (SIDES[0], 1), (1, SIDES[1])], 7),
}


@pytest.fixture(scope="module")
def apart() -> Iterator[ProcessPoolExecutor]:
    """Return a process of its own: the compiler remembers what it was told of the device."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def longest_sum_of_one_block(code: str) -> int:
    """Return the most elements that a kernel with a single block adds up."""
    hints = re.findall(r"size_hints=\{'x': (\d+), 'r0_': (\d+)\}", code)
    assert hints
    return max((int(length) for blocks, length in hints if int(blocks) == 1), default=0)


def test_the_small_copys_code_is_one_block(apart: ProcessPoolExecutor) -> None:
    assert SMALL < LARGE_FROM["cuda"] < LARGE
    code = apart.submit(triton_source, lamb, [(SMALL,)] * 4, 7).result()
    assert longest_sum_of_one_block(code) == 8192


@pytest.mark.parametrize("name", RULES)
def test_the_large_copys_code_is_divided(apart: ProcessPoolExecutor, name: str) -> None:
    code = apart.submit(triton_source, *RULES[name]).result()
    assert longest_sum_of_one_block(code) <= 2048
