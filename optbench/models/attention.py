"""What the transformers of text have in common: how attention is computed, and how long a sample may be."""

from __future__ import annotations

from typing import Any

from optbench.contracts import TextData
from optbench.errors import ConfigError


def attention_of(architecture: Any) -> str:
    """The name by which transformers knows the way of computing attention: torch's scaled_dot_product_attention, whose
    kernel fits device and mask, where the architecture takes it in the installed version, else its own plain one."""
    return "sdpa" if getattr(architecture, "_supports_sdpa", False) else "eager"


def check_positions(data: TextData, positions: int) -> None:
    """ConfigError where a sample is longer than the model's table of positions."""
    if data.sequence_length > positions:
        raise ConfigError(
            f"data.sequence_length={data.sequence_length} exceeds model.positions={positions}",
            f"Set model.positions={data.sequence_length}",
        )
