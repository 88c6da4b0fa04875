"""The stream of numbered draws."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from optbench import counter_rng
from optbench.contracts import DataSet, Seeds
from optbench.data.noise import BLOCK_STEPS, Noise, NoiseStream

SEEDS = Seeds(init=1, order=2, augment=3)


def stream(width: int = 3, seeds: Seeds = SEEDS) -> NoiseStream:
    found = Noise().load(Path(), torch.device("cpu"), seeds)
    found.fill(lambda seed, index: {"noise": counter_rng.normal(seed, index, width)}, width)
    return found


def numbers(batches: object, count: int) -> list[Tensor]:
    return [batch["noise"] for batch in islice(batches, count)]  # type: ignore[call-overload]


def test_batches_number_the_samples_and_have_their_draws() -> None:
    batches = list(islice(stream().train_batches(4), 3))
    assert torch.equal(torch.cat([batch["index"] for batch in batches]), torch.arange(12))
    whole = counter_rng.normal(SEEDS.augment, torch.arange(12), 3)
    assert torch.equal(torch.cat([batch["noise"] for batch in batches]), whole)


@pytest.mark.parametrize("first", [1, 7, BLOCK_STEPS - 1, BLOCK_STEPS, BLOCK_STEPS + 5])
def test_a_stream_can_start_anywhere_bit_for_bit(first: int) -> None:
    whole = numbers(stream().train_batches(2), BLOCK_STEPS + 20)
    later = numbers(stream().train_batches(2, first), 15)
    assert all(map(torch.equal, whole[first:], later))


def test_samples_do_not_depend_on_the_batch_size() -> None:
    small, large = numbers(stream().train_batches(3), 20), numbers(stream().train_batches(12), 5)
    torch.testing.assert_close(torch.cat(small), torch.cat(large), rtol=1e-15, atol=1e-15)


def test_another_seed_is_another_stream() -> None:
    other = Seeds(init=1, order=2, augment=4)
    assert not torch.equal(*(numbers(stream(seeds=s).train_batches(2), 1)[0] for s in (SEEDS, other)))


def test_every_split_is_one_sample_that_draws_nothing() -> None:
    data = stream()
    assert isinstance(data, DataSet)
    for split in ("train", "validation", "test"):
        (batch,) = data.eval_batches(split, 512)
        assert batch.keys() == {"index"}
        assert len(batch["index"]) == data.sizes[split] == 1


def test_seeding_torch_gives_the_numbers_of_manual_seed() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    counter_rng.seed_torch(7)
    assert torch.equal(torch.rand(3), expected) and torch.initial_seed() == 7
