"""T5's span corruption: lengths, sentinels, density, and no lost tokens."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from optbench.tasks.spans import SpanShape, corrupt, random_division, span_shape

FIRST_SENTINEL, END = 1000, 2


def tokens_of(rows: int, length: int) -> Tensor:
    return torch.arange(rows * length).view(rows, length) % 900 + 10


def restored(inputs: Tensor, targets: Tensor) -> list[int]:
    """Rebuild the sample from inputs and targets: replace each sentinel by its span."""
    assert inputs[-1] == targets[-1] == END
    spans: dict[int, list[int]] = {}
    current = FIRST_SENTINEL
    for token in targets[:-1].tolist():
        if token >= FIRST_SENTINEL:
            current = token
            spans[current] = []
        else:
            spans[current].append(token)
    return [t for token in inputs[:-1].tolist() for t in spans.get(token, [token])]


def test_shapes_by_hand() -> None:
    # 128 x 0.15 = 19.2 tokens, 19 / 3 = 6.3 spans; T5's own 512 inputs come from 568 tokens: 85 of them in 28 spans
    assert span_shape(128, 0.15, 3.0) == SpanShape(128, noise=19, spans=6)
    assert (span_shape(128, 0.15, 3.0).inputs, span_shape(128, 0.15, 3.0).targets) == (116, 26)
    assert (span_shape(568, 0.15, 3.0).inputs, span_shape(568, 0.15, 3.0).targets) == (512, 114)
    assert span_shape(2, 0.15, 3.0) == SpanShape(2, noise=1, spans=1)
    assert span_shape(10, 0.95, 1.0) == SpanShape(10, noise=9, spans=1), "no more spans than tokens between them"


def test_a_sample_with_only_one_division() -> None:
    tokens = torch.tensor([[11, 12, 13, 14]])
    shape = SpanShape(4, noise=2, spans=2)
    inputs, targets = corrupt(tokens, torch.tensor([5]), 0, shape, first_sentinel=FIRST_SENTINEL, end=END)
    assert inputs.tolist() == [[11, 1000, 13, 1001, 2]]
    assert targets.tolist() == [[1000, 12, 1001, 14, 2]]


def test_a_sample_with_one_span_keeps_its_beginning() -> None:
    tokens = torch.tensor([[11, 12, 13, 14, 15]])
    shape = SpanShape(5, noise=2, spans=1)
    inputs, targets = corrupt(tokens, torch.tensor([0]), 0, shape, first_sentinel=FIRST_SENTINEL, end=END)
    assert inputs.tolist() == [[11, 12, 13, 1000, 2]]
    assert targets.tolist() == [[1000, 14, 15, 2]]


@given(length=st.integers(2, 90), density=st.floats(0.01, 0.99), mean=st.floats(1, 20), seed=st.integers(0, 2**31))
def test_every_sample_can_be_rebuilt(length: int, density: float, mean: float, seed: int) -> None:
    tokens, shape = tokens_of(3, length), span_shape(length, density, mean)
    index = torch.tensor([0, 7, 1_000_000])
    inputs, targets = corrupt(tokens, index, seed, shape, first_sentinel=FIRST_SENTINEL, end=END)
    assert inputs.shape == (3, shape.inputs)
    assert targets.shape == (3, shape.targets)
    sentinels = list(range(FIRST_SENTINEL, FIRST_SENTINEL + shape.spans))
    for row, read, written in zip(tokens, inputs, targets, strict=True):
        assert restored(read, written) == row.tolist()
        assert [t for t in read.tolist() if t >= FIRST_SENTINEL] == sentinels
        assert [t for t in written.tolist() if t >= FIRST_SENTINEL] == sentinels
        assert read[0] == row[0], "the first span is not noise"


def test_every_division_is_equally_likely() -> None:
    sizes = random_division(3, torch.arange(6000), 5, 3, stream=0)  # 4 places for 2 cuts: 6 divisions
    assert (sizes.sum(1) == 5).all()
    found = Counter(map(tuple, sizes.tolist()))
    assert len(found) == 6
    assert all(n == pytest.approx(1000, abs=150) for n in found.values())  # five standard deviations


def test_the_division_does_not_depend_on_the_batch() -> None:
    tokens, shape = tokens_of(6, 40), span_shape(40, 0.15, 3.0)
    index = torch.arange(100, 106)
    whole = corrupt(tokens, index, 9, shape, first_sentinel=FIRST_SENTINEL, end=END)
    alone = corrupt(tokens[4:5], index[4:5], 9, shape, first_sentinel=FIRST_SENTINEL, end=END)
    assert all(torch.equal(w[4:5], a) for w, a in zip(whole, alone, strict=True))
    later = corrupt(tokens[4:5], index[4:5] + 6, 9, shape, first_sentinel=FIRST_SENTINEL, end=END)
    other = corrupt(tokens[4:5], index[4:5], 10, shape, first_sentinel=FIRST_SENTINEL, end=END)
    assert not torch.equal(alone[0], later[0]), "another epoch, other spans"
    assert not torch.equal(alone[0], other[0]), "another seed, other spans"
