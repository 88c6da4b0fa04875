"""Shared by the text transformers: the attention implementation, the heads, and the limit on a sample's length."""

from __future__ import annotations

from torch import nn

from optbench.contracts import TextData
from optbench.errors import ConfigError


def attention_of(architecture: type[nn.Module]) -> str:
    """Return transformers' name of the attention implementation for an architecture.

    torch's scaled_dot_product_attention, with a kernel that suits device and mask, if the installed version supports it
    for this architecture; else the plain one."""
    return "sdpa" if getattr(architecture, "_supports_sdpa", False) else "eager"


def check_positions(data: TextData, positions: int) -> None:
    """Raise ConfigError if a sample is longer than the model's table of positions."""
    if data.sequence_length > positions:
        raise ConfigError(
            f"data.sequence_length={data.sequence_length} exceeds model.positions={positions}",
            f"Set model.positions={data.sequence_length}",
        )


def heads_of(width: int, head: int) -> int:
    """Return the number of attention heads of `head` units each in `width` units, so that a head is as wide at every
    width. Raises ConfigError if the heads do not fill the width."""
    if width % head:
        near = [size for size in (width // head * head, (width // head + 1) * head) if size]
        raise ConfigError(
            f"model.width={width} is not a multiple of {head}, the units of an attention head at this model.size",
            f"Set model.width={' or '.join(map(str, near))}",
        )
    return width // head
