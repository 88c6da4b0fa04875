"""The heads of an attention: which rows of the layers that make its queries and keys belong to each.

Found by gradients of each head's queries and keys with respect to the layer's output. The same gradients show whether
queries and keys are homogeneous: behind a norm, or with a position added, they don't scale with the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optbench.contracts import AttentionHeads
from optbench.errors import ConfigError

TOLERANCE = 0.05  # of homogeneity, for queries and keys in bfloat16

Layer = tuple[Tensor, Tensor | None, Tensor | None]
"""Weight and bias of a linear layer, and its output where it is still needed."""


def heads_of(
    layers: tuple[Layer, Layer], query: Tensor, key: Tensor, unreadable: Callable[[str], ConfigError]
) -> tuple[AttentionHeads, Tensor]:
    """Return the heads of an attention, and the head of each head of its query: those with one key are one head."""
    if query.ndim != 4 or key.ndim != 4:
        raise unreadable("its query has no dimension of heads; they are (batch, heads, tokens, units)")
    query_rows, key_rows = (rows_of(one, layer) for one, layer in zip((query, key), layers, strict=True))
    if query_rows is None or key_rows is None:
        raise unreadable("its logits are not proportional to its weights, as behind a norm of queries and keys")
    shared = key_rows.repeat_interleave(len(query_rows) // len(key_rows), 0)
    distinct, groups = torch.unique(shared, dim=0, return_inverse=True)
    query_rows = torch.stack([query_rows[groups == group].any(0) for group in range(len(distinct))])
    owners: dict[int, tuple[Layer, Tensor]] = {}
    for layer, rows in zip(layers, (query_rows, distinct), strict=True):
        rows = rows | owners[id(layer[0])][1] if id(layer[0]) in owners else rows
        owners[id(layer[0])] = layer, rows
    projections: list[tuple[Tensor, Tensor]] = []
    for (weight, bias, _), rows in owners.values():
        if rows.sum(0).max() > 1:
            raise unreadable("its heads share rows of their projections")
        head = torch.where(rows.any(0), rows.int().argmax(0), len(distinct))
        projections += [(tensor, head) for tensor in (weight, bias) if tensor is not None]
    kind = torch.promote_types(query.dtype, torch.float32)
    return AttentionHeads(query.new_full((len(distinct),), -torch.inf, dtype=kind), projections), groups


def rows_of(tensor: Tensor, layer: Layer) -> Tensor | None:
    """Return which rows of a layer's weight make each head of a query or key (B, H, N, d): bool (H, out).

    Returns None if a head is not homogeneous of degree one in the layer's output y: then <d(v t)/dy, y> is not v t."""
    output = layer[2]
    assert output is not None
    signs = torch.where(tensor < 0, -1, 1).to(tensor.dtype)
    rows: list[Tensor] = []
    for head in range(tensor.shape[1]):
        chosen = torch.zeros_like(tensor)
        chosen[:, head] = signs[:, head]
        (gradient,) = torch.autograd.grad(tensor, output, chosen, retain_graph=True)
        size = (chosen * tensor).double().sum()
        if not ((gradient * output).double().sum() - size).abs() <= TOLERANCE * size:
            return None
        rows.append((gradient != 0).flatten(0, -2).any(0))
    return torch.stack(rows)
