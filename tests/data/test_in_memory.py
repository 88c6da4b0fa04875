"""Image sets in memory and their augmentation."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.contracts import DataSet, Seeds
from optbench.data.augment import Augment, beta, change_images, crop_and_flip, cutout, mix_batch
from optbench.data.digits import Digits
from optbench.data.in_memory import Images, InMemoryImages
from optbench.data.sample_order import SampleOrder
from optbench.data.splits import stratified
from optbench.errors import ConfigError
from optbench.training.seeding import seeds_of

CPU = torch.device("cpu")
SEEDS = Seeds(init=1, order=2, augment=3)
NONE = {"crop_pad": 0, "flip": False, "cutout": 0, "mixup": 0.0, "cutmix": 0.0}


def images(count: int, classes: int = 3, side: int = 6) -> Images:
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, 2, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(count) % classes)


def made(seeds: Seeds = SEEDS, **augment: Any) -> InMemoryImages:
    splits = {"train": images(50), "validation": images(11), "test": images(12)}
    return InMemoryImages(splits, classes=3, augment=Augment(**{**NONE, **augment}), seeds=seeds, device=CPU)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "augment", [{}, {"crop_pad": 2, "flip": True}, {"cutout": 3}, {"mixup": 0.4}, {"cutmix": 1.0, "mixup": 0.2}]
)
def test_batches_depend_only_on_the_step(augment: dict[str, Any]) -> None:
    straight = list(islice(made(**augment).train_batches(8), 20))
    resumed = list(islice(made(**augment).train_batches(8, first_step=13), 7))
    for a, b in zip(straight[13:], resumed, strict=True):
        assert torch.equal(a["inputs"], b["inputs"])
        assert torch.equal(a["labels"], b["labels"])


def test_every_epoch_is_a_permutation_and_every_batch_full() -> None:
    order = SampleOrder(50, 7, CPU)
    stream = torch.cat([order.indices(8 * step, 8) for step in range(25)])
    for epoch in stream.split(50):
        assert sorted(epoch.tolist()) == list(range(50))
    assert stream[:50].tolist() != stream[50:100].tolist()
    assert sorted(SampleOrder(5, 0, CPU).indices(3, 12).tolist())[::2]  # batches larger than the set


def test_another_seed_gives_another_order() -> None:
    batches = [next(made(Seeds(init=1, order=seed, augment=3)).train_batches(16))["labels"] for seed in (1, 2)]
    assert not torch.equal(*batches)


def test_inputs_are_normalised_by_the_training_part() -> None:
    data = made()
    everything = torch.cat([batch["inputs"] for batch in data.eval_batches("train", 7)])
    assert everything.mean((0, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(everything.std((0, 2, 3), correction=0), torch.ones(2), rtol=1e-3, atol=1e-3)
    assert everything.dtype == torch.float32


def test_evaluation_has_each_sample_once_in_order_or_an_even_selection() -> None:
    data = made()
    labels = torch.cat([batch["labels"] for batch in data.eval_batches("test", 5)])
    assert torch.equal(labels, images(12).labels)
    assert sum(len(batch["labels"]) for batch in data.eval_batches("train", 5, limit=9)) == 9
    assert sum(len(batch["labels"]) for batch in data.eval_batches("test", 5, limit=99)) == 12


def test_the_hash_covers_content_and_split() -> None:
    assert made().sha256 == made(crop_pad=1).sha256
    swapped = {"train": images(50), "validation": images(12), "test": images(11)}
    other = InMemoryImages(swapped, classes=3, augment=Augment(**NONE), seeds=SEEDS, device=CPU)
    assert other.sha256 != made().sha256


def test_it_is_a_data_set() -> None:
    assert isinstance(made(), DataSet)
    assert made().sizes == {"train": 50, "validation": 11, "test": 12}
    assert made().sample_shape == (2, 6, 6)


def test_crops_are_windows_of_the_padded_image() -> None:
    batch = torch.arange(1.0, 2 * 1 * 4 * 4 + 1).reshape(2, 1, 4, 4)
    found = crop_and_flip(batch, 1, False, generator())
    padded = torch.nn.functional.pad(batch, (1, 1, 1, 1))
    for image, source in zip(found, padded, strict=True):
        windows = [source[:, y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
        assert any(torch.equal(image, window) for window in windows)


def test_flips_are_exact_mirrors_of_about_half_the_images() -> None:
    batch = torch.randn(200, 1, 3, 3, generator=generator())
    found = crop_and_flip(batch, 0, True, generator())
    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(found, batch, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(found, batch, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 70 < sum(mirrored) < 130


def test_cutout_removes_one_square_of_at_most_its_area() -> None:
    found = cutout(torch.ones(50, 2, 8, 8), 3, generator())
    holes = (found == 0).sum((1, 2, 3)) / 2
    assert holes.max() == 9
    assert holes.min() >= 4  # at a corner
    assert torch.equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize("augment", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_labels_are_shares_of_the_pixels(augment: dict[str, Any]) -> None:
    batch = torch.zeros(4, 1, 8, 8)
    batch[1::2] = 1
    shares = torch.eye(2)[torch.arange(4) % 2]
    for seed in range(20):
        mixed, found = mix_batch(batch, shares, Augment(**{**NONE, **augment}), generator(seed))
        torch.testing.assert_close(found.sum(1), torch.ones(4))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), found[:, 1])


def test_beta_draws_have_the_right_moments() -> None:
    draws = torch.tensor([beta(0.4, generator(seed)) for seed in range(4000)])
    assert draws.mean() == pytest.approx(0.5, abs=0.02)
    assert draws.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)


def test_images_without_augmentation_stay_as_they_are() -> None:
    batch = torch.randn(3, 1, 4, 4)
    assert change_images(batch, Augment(**NONE), generator()) is batch


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.floats(0.05, 0.6))
def test_stratified_splits_give_each_class_its_share(labels: list[int], share: float) -> None:
    count = max(1, round(share * len(labels)))
    kept, held = stratified(torch.tensor(labels), count)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert len(held) == count
    for label in set(labels):
        expected = labels.count(label) * count / len(labels)
        assert abs(torch.tensor(labels)[held].eq(label).sum() - expected) <= 1 + 1e-9


def test_digits_are_embedded_and_their_split_is_fixed() -> None:
    source = Digits(validation=270, verify="on", augment=NONE)
    data = source.load(None, CPU, SEEDS)  # type: ignore[arg-type]
    assert data.sizes == {"train": 1167, "validation": 270, "test": 360}
    assert data.sample_shape == (1, 8, 8)
    assert data.sha256 == Digits(validation=270, verify="on", augment=NONE).load(None, CPU, Seeds(7, 8, 9)).sha256  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"data\.validation=5000"):
        Digits(validation=5000, verify="on", augment=NONE).load(None, CPU, SEEDS)  # type: ignore[arg-type]


def test_an_open_crop_depends_on_where_the_set_is_held() -> None:
    left_open = Augment(**{**NONE, "crop_pad": None})
    assert left_open.with_crop_pad(in_memory=True, image_size=64).crop_pad == 4
    assert left_open.with_crop_pad(in_memory=False, image_size=64).crop_pad == 0
    given = Augment(**{**NONE, "crop_pad": 1})
    assert given.with_crop_pad(in_memory=True, image_size=64) == given


@pytest.mark.parametrize(
    ("changes", "sha256"),
    [
        ({"crop_pad": 2, "flip": True, "cutout": 3}, "e2fb683e4db37d64"),
        ({"crop_pad": 1}, "728d9b1ec39983c0"),
        ({"crop_pad": 1, "flip": True}, "3e4951d96edce734"),
        ({"crop_pad": 1, "mixup": 0.4, "cutmix": 1.0, "cutout": 2}, "43e20902acbb5efc"),
    ],
    ids=str,
)
def test_augmented_batches_stay_the_same_bit_for_bit(changes: dict[str, Any], sha256: str) -> None:
    source = Digits(validation=270, verify="on", augment={**NONE, **changes})
    batches = islice(source.load(None, CPU, seeds_of(0)).train_batches(16), 30)  # type: ignore[arg-type]
    digest = hashlib.sha256()
    for batch in batches:
        for tensor in batch.values():
            digest.update(tensor.contiguous().numpy().tobytes())
    assert digest.hexdigest()[:16] == sha256
