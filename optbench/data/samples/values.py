"""What a user's data set gives, as tensors on the CPU: arrays, numbers, images, texts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from optbench.data.pictures import to_rgb
from optbench.errors import first_line

Raw: TypeAlias = "Tensor | list[str]"
"""One column: a tensor whose first dimension is the sample, or a text for each sample."""
Columns: TypeAlias = "Mapping[str, Raw]"

INPUTS, LABELS = "inputs", "labels"
INPUT_NAMES = (INPUTS, "image", "images", "img", "pixel_values", "pixels", "input_ids", "tokens", "x", "features")
INPUT_NAMES += ("data", "text", "sentence", "input")
LABEL_NAMES = (LABELS, "label", "target", "targets", "y", "class", "output")
WIDER = {torch.uint16: torch.int64, torch.uint32: torch.int64, torch.uint64: torch.int64}


class Unreadable(ValueError):
    """A value that is no data; its text says why."""


def is_array(value: object) -> bool:
    """Return True for tensors, NumPy arrays, and tables and columns of pandas and polars."""
    return isinstance(value, (Tensor, np.ndarray)) or hasattr(value, "to_numpy")


def is_texts(value: object) -> bool:
    """Return True for a text, or a list of texts."""
    if isinstance(value, str):
        return True
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, str) for item in value)


def raw_of(value: Any) -> Raw | str:
    """Return a value as a tensor on the CPU without gradients, or as text. Raises Unreadable."""
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        try:
            return checked(value.detach().cpu().to_dense())
        except (RuntimeError, NotImplementedError) as error:  # a tensor without content, e.g. on the device meta
            raise Unreadable(f"is a tensor that cannot be copied: {first_line(error)}") from None
    if type(value).__module__.startswith("PIL."):
        value = np.array(value if value.mode == "L" else to_rgb(value))
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if isinstance(value, (list, tuple)):
        return from_list(value)
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        return from_numpy(np.asarray(value))
    raise Unreadable(f"is of type {type(value).__name__}, which is neither a tensor, an array, an image nor a number")


def from_list(values: Sequence[Any]) -> Raw:
    """Return a list of numbers, arrays or texts."""
    if values and all(isinstance(item, Tensor) for item in values):
        values = [item.detach().cpu().numpy() for item in values]
    try:
        array = np.asarray(values)
    except ValueError:
        raise Unreadable("is a list whose parts have different shapes") from None
    except OverflowError:
        raise Unreadable("has a number too large for 64 bits") from None
    return from_numpy(array)


def from_numpy(array: np.ndarray) -> Raw:
    """Return an array as a tensor that shares its memory, or as texts."""
    kind = array.dtype.kind
    if kind == "O":
        found = array.tolist() if array.ndim == 1 else None
        if found and all(isinstance(item, str) for item in found):
            return found
        if array.ndim <= 1 and all(isinstance(item, (bool, int, float)) for item in array.reshape(-1).tolist()):
            raise Unreadable("holds numbers too large for 64 bits, or of different kinds")
        raise Unreadable("is an array of Python objects: its samples differ in shape, or some are None")
    if kind in "US":
        return [str(item) for item in array.reshape(-1).astype(str).tolist()]
    if kind not in "biuf":
        raise Unreadable(f"is an array of {array.dtype}, which is neither of numbers nor of truth values")
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():  # torch warns of arrays that cannot be written, such as mapped ones; nobody writes
        warnings.simplefilter("ignore")
        return checked(torch.from_numpy(array))


def checked(tensor: Tensor) -> Tensor:
    """Return a tensor of a type that batches may have: unsigned integers of 16 bits and more become int64."""
    if tensor.is_complex():
        raise Unreadable("has complex numbers")
    if tensor.dtype == torch.uint64 and bool((tensor.view(torch.int64) < 0).any()):
        raise Unreadable("has numbers too large for 64 bits")
    return tensor.to(WIDER.get(tensor.dtype, tensor.dtype))


def named_fields(sample: Any, names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the values of a sample, or of all samples, by column; the inputs and labels under our names.

    `names` are the settings `inputs` and `labels`. Raises Unreadable for what has no such form."""
    if hasattr(sample, "_asdict"):
        sample = sample._asdict()
    if isinstance(sample, Mapping):
        return renamed(sample, names)
    if isinstance(sample, (tuple, list)) and not all(isinstance(item, (bool, int, float)) for item in sample):
        if len(sample) > 2 or not sample:
            raise Unreadable(
                f"has {len(sample)} parts: give (inputs, labels), or a dict that names them, "
                "e.g. {'inputs': x, 'labels': y, 'weights': w}"
            )
        return dict(zip((INPUTS, LABELS), sample, strict=False))
    return {INPUTS: sample}


def renamed(sample: Mapping[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return a sample's columns, with those of inputs and labels under our names."""
    found = dict(sample)
    for ours, usual in ((INPUTS, INPUT_NAMES), (LABELS, LABEL_NAMES)):
        given = names.get(ours)
        if given is not None and given not in found:
            raise Unreadable(f"has no column {given} (data.{ours}={given}); it has {', '.join(map(str, found))}")
        name = given or next((name for name in usual if name in found), None)
        if name is not None:
            found = {(ours if key == name else str(key)): value for key, value in found.items()}
    return found


def as_image(tensor: Tensor, *, batched: bool) -> Tensor:
    """Return uint8 images as (..., C, H, W): the channels of (H, W, C) move to the front, (H, W) gets one.

    Other tensors are returned as they are."""
    if tensor.dtype != torch.uint8 or tensor.ndim - batched not in (2, 3):
        return tensor
    if tensor.ndim - batched == 2:
        return tensor.unsqueeze(-3)
    channels = (1, 3, 4)
    last = tensor.shape[-1] in channels and tensor.shape[-3] not in channels
    return tensor.movedim(-1, -3) if last else tensor
