"""BERT (Devlin et al., 2019) with its masked language modelling head, built by transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from optbench.contracts import TextData
from optbench.models.attention import attention_of, check_positions, heads_of

if TYPE_CHECKING:
    from transformers import BertForMaskedLM


@dataclass(frozen=True)
class BertSize:
    """Blocks, hidden units and heads; the inner layer has four times the hidden units.

    Initial weights are normal with standard deviation `std`. Initial positions too, or sines and cosines of the same
    scale."""

    blocks: int
    width: int
    heads: int
    std: float = 0.02  # Devlin et al.'s code, for every size
    sinusoids: bool = False


SIZES = {
    # Ours, for a CPU. One matrix can read relative positions from sines and cosines, and std 0.05 gives 128 units the
    # scale of 768 units at 0.02. Without both, a small BERT takes long to use more than neighbouring pieces.
    "micro": BertSize(2, 128, 4, std=0.05, sinusoids=True),
    "mini": BertSize(4, 256, 4),  # mini to medium: Turc et al., 2019, Well-Read Students Learn Better, arXiv:1908.08962
    "small": BertSize(4, 512, 8),
    "medium": BertSize(8, 512, 8),
    "base": BertSize(12, 768, 12),  # base and large: Devlin et al., 2019, section 3
    "large": BertSize(24, 1024, 16),
}


class Bert(nn.Module):
    """Scores of the pieces at some positions; the head skips the others.

    The output layer of `network` shares the weights of its embedding."""

    def __init__(self, network: BertForMaskedLM) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return logits (B, K, pieces) at positions (B, K) of tokens (B, L)."""
        hidden = self.network.bert(tokens).last_hidden_state
        index = positions[:, :, None].expand(-1, -1, hidden.shape[2])
        return self.network.cls(hidden.gather(1, index))


def build(data: TextData, *, size: str, width: int | None, dropout: float, positions: int) -> nn.Module:
    """Build a network from tokens (B, L) and positions (B, K) to logits (B, K, pieces).

    `width`: hidden units in place of the size's, with heads of the same width. Raises ConfigError unless they fit."""
    from transformers import BertConfig, BertForMaskedLM

    check_positions(data, positions)
    chosen = SIZES[size]
    width = width or chosen.width
    config = BertConfig(
        vocab_size=data.vocabulary.size,
        hidden_size=width,
        num_hidden_layers=chosen.blocks,
        num_attention_heads=heads_of(width, chosen.width // chosen.heads),
        intermediate_size=4 * width,
        hidden_act="gelu",
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=positions,
        type_vocab_size=2,
        initializer_range=chosen.std,
        layer_norm_eps=1e-12,
        pad_token_id=data.vocabulary.pad,
        tie_word_embeddings=True,
    )
    config._attn_implementation = attention_of(BertForMaskedLM)
    network = BertForMaskedLM(config)
    if chosen.sinusoids:
        table = network.bert.embeddings.position_embeddings.weight
        with torch.no_grad():  # learned from here on
            table.copy_(sinusoids(positions, width, chosen.std))
    return Bert(network)


def sinusoids(positions: int, width: int, std: float) -> Tensor:
    """Return sines and cosines of positions (Vaswani et al., 2017, section 3.5): (positions, width), RMS `std`."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * rates
    return std * math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], 1)
