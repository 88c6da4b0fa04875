"""Data sets with one fault each: functions that a user might write. `FAULTS` says what the message must name."""

import itertools
import sys

import numpy as np
import torch
from torch.utils.data import Dataset

COUNT = 40


def inputs(count=COUNT, width=4):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(count))


def labels(count=COUNT):
    return torch.arange(count) % 3


def good(count=COUNT):
    return inputs(count), labels(count)


class Items(Dataset):
    """Samples by index, with a change to one of them."""

    def __init__(self, change=lambda index, sample: sample, count=COUNT):
        self.change, self.count, self.reads = change, count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.reads += 1
        return self.change(index, (inputs()[index], index % 3))


def at(index, value):
    """A set whose sample `index` is `value`."""
    return Items(lambda i, sample: value if i == index else sample)


def raises():
    raise RuntimeError("no such disk")


def fails_at_7():
    def change(index, sample):
        if index == 7:
            raise ValueError("a bad sample")
        return sample

    return Items(change)


def fails_after(count):
    yield from itertools.repeat((inputs(8), labels(8)), count)
    raise ValueError("the stream broke")


def changed(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


def shared_generator():
    batches = ((inputs(8), labels(8)) for _ in range(4))
    return batches, batches, batches


def no_length():
    class NoLength:
        def __getitem__(self, index):
            return good()

    return NoLength()


FAULTS = {
    "raises": (raises, "bad_data.py, line [0-9]+: RuntimeError: no such disk"),
    "item_7": (
        fails_at_7,
        "sample 7 of the train split cannot be read: bad_data.py, line [0-9]+: ValueError: a bad sample",
    ),
    "none": (lambda: None, "returned None"),
    "no_train": (lambda: {"test": good()}, "without a training split; it has test"),
    "train_is_none": (lambda: (None, good()), "returned no training split"),
    "four_arrays": (lambda: (*good(), *good(20)), r"returned 4 parts.*\n.*\(X_train, y_train\), \(X_test, y_test\)"),
    "four_splits": (lambda: (good(),) * 4, "returned 4 parts, but there are three splits"),
    "a_number": (lambda: 7, "the train split is of type int"),
    "an_empty_tuple": (lambda: (), "returned no training split"),
    "other_lengths": (lambda: (inputs(40), labels(39)), "40 inputs and 39 labels"),
    "empty": (lambda: (inputs(0), labels(0)), "the train split has no samples"),
    "empty_test": (lambda: (good(), good(0)), "the test split has no samples"),
    "empty_list": (list, "the train split has no samples"),
    "too_few": (lambda: good(2), "2 training samples cannot give"),
    "ragged": (lambda: at(5, (torch.zeros(3), 0)), r"sample 5 .* inputs of shape \(3,\), but others have \(4,\)"),
    "other_parts": (lambda: at(5, torch.zeros(4)), "sample 5 of the train split has the parts inputs, but"),
    "three_parts": (lambda: at(0, (torch.zeros(4), 0, 0)), "sample 0 of the train split has 3 parts"),
    "sample_none": (lambda: at(3, None), "sample 3 of the train split cannot be used: its inputs is of type NoneType"),
    "label_none": (lambda: at(3, (torch.zeros(4), None)), "sample 3 .* its labels is of type NoneType"),
    "an_object": (lambda: at(3, (object(), 0)), "sample 3 .* its inputs is of type object"),
    "objects": (lambda: (np.array([np.zeros(3), np.zeros(2)], dtype=object), [0, 1]), "array of Python objects"),
    "nan_inputs": (lambda: (changed(inputs(), (9, 1), torch.nan), labels()), "sample 9 has inputs that are not finite"),
    "inf_inputs": (lambda: (changed(inputs(), (9, 1), torch.inf), labels()), "sample 9 has inputs that are not finite"),
    "nan_labels": (lambda: (inputs(), changed(inputs()[:, 0], 4, torch.nan)), "label of sample 4 of the train split"),
    "constant_labels": (lambda: (inputs(), torch.ones(COUNT)), "all labels of the train split are 1: nothing to learn"),
    "one_class": (lambda: (inputs(), torch.zeros(COUNT, dtype=torch.long)), r"samples of one class only \(0\)"),
    "negative": (lambda: (inputs(), labels() - 1), "train split has the label -1, but classes are numbered from 0 on"),
    "new_class": (
        lambda: (good(), (inputs(6), labels(6) + 1)),
        "test split has the label 3, which the train split lacks",
    ),
    "new_text": (lambda: (([1.0] * 4, list("abab")), ([1.0], ["c"])), "test split has the label 'c'"),
    "texts_or_numbers": (lambda: (good(), (inputs(3), list("abc"))), "labels are texts in some splits and numbers"),
    "other_shapes": (
        lambda: (good(), (inputs(6, 5), labels(6))),
        r"test split have the shape \(5,\), those of train \(4",
    ),
    "other_columns": (
        lambda: (good(), {"inputs": inputs(6)}),
        "test split has inputs, but train has inputs and labels",
    ),
    "whole_and_real": (lambda: (good(), (inputs(6).long(), labels(6))), "inputs of the test split are torch.int64"),
    "a_scalar": (lambda: (torch.tensor(1.0), torch.tensor(1)), "its inputs are one value, not one for each sample"),
    "huge_numbers": (lambda: ([[1 << 70]] * 4, [0, 1, 0, 1]), "too large for 64 bits"),
    "no_content": (lambda: (inputs().to("meta"), labels()), "its inputs is a tensor that cannot be copied"),
    "no_count": (
        lambda: Items(count=-3),
        r"length of the train split cannot be read: .*__len__\(\) should return >= 0",
    ),
    "exits": (lambda: sys.exit(3), r"raised an error: .*SystemExit"),
    "complex": (lambda: (inputs().to(torch.complex64), labels()), "its inputs has complex numbers"),
    "dates": (lambda: (np.array(["2020-01-01"] * 4, "datetime64[D]"), [0, 1, 0, 1]), "array of datetime64"),
    "zero_width": (lambda: (inputs(COUNT, 0), labels()), r"samples have the shape \(0,\)"),
    "no_length": (no_length, "a NoLength with __getitem__, but without __len__"),
    "used_up": (shared_generator, "the validation split has no samples\nIs its iterator used up"),
    "breaks_off": (
        lambda: fails_after(3),
        "after 3 items raised an error: bad_data.py, line [0-9]+: ValueError: the stream",
    ),
    "other_batches": (
        lambda: iter([(inputs(8), labels(8)), (inputs(8, 3), labels(8))]),
        r"inputs differ: \(8, 4\) and \(8, 3",
    ),
    "random_load": (
        lambda: (torch.from_numpy(np.random.default_rng().normal(size=(9, 2))), [0, 1, 2] * 3),
        "other samples each time",
    ),
    "text_classes": (lambda: (["a b", "c d"] * 9, [0, 1] * 9), "its inputs are texts, which no task here reads"),
}


def own_generator():
    class Drifting(Items):
        def __getitem__(self, index):
            self.reads += 1
            return torch.full((4,), float(self.reads)), index % 3

    return Drifting()


FAULTS["own_generator"] = (own_generator, "sample 0 of the train split differs from one reading to the next")
for _name, (_function, _) in FAULTS.items():
    globals()[f"bad_{_name}"] = _function
