"""Tensors as one dimension over the same memory, and lists of them cut to a size."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor


def flat_views(tensors: list[Tensor]) -> list[Tensor] | None:
    """Return 1-d tensors over the memory of equally laid out ones (channels_last, say); None for others.

    They are not views to autograd: the compiler would guard the shape of a view's base."""
    if not all(tensor.is_contiguous() for tensor in tensors):
        strides = tensors[0].stride()
        order = sorted(range(len(strides)), key=lambda dim: -strides[dim])
        if any(tensor.ndim != len(order) for tensor in tensors):  # state of another form, in the order of elements
            return None
        tensors = [tensor.permute(order) for tensor in tensors]
        if not all(tensor.is_contiguous() for tensor in tensors):
            return None
    return [tensor.data if tensor.ndim == 1 else tensor.view(-1).data for tensor in tensors]


def chunks(rows: list[list[Tensor]], elements: int) -> Iterator[list[list[Tensor]]]:
    """Yield the rows in order, in lists of about `elements` elements at most."""
    chunk: list[list[Tensor]] = []
    count = 0
    for row in rows:
        chunk.append(row)
        count += row[0].numel()
        if count >= elements:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk
