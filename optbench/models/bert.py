"""BERT (Devlin et al., 2019) with its masked-language-model head, built by transformers from a configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optbench.contracts import TextData
from optbench.models.attention import attention_of, check_positions


@dataclass(frozen=True)
class Size:
    """Blocks, hidden units, heads; the inner layer has four times the hidden units. Weights start at random with
    standard deviation `std`; positions likewise, or from sines and cosines of the same size."""

    blocks: int
    width: int
    heads: int
    std: float = 0.02  # Devlin et al.'s code, for every size
    sinusoids: bool = False


SIZES = {
    # Ours, for a CPU. Relative positions can be read off sines and cosines by one matrix, and 0.05 gives 128 units the
    # scale that 0.02 gives 768: without both a small BERT stays long where it knows neighbours alone.
    "micro": Size(2, 128, 4, std=0.05, sinusoids=True),
    "mini": Size(4, 256, 4),  # mini to medium: Turc et al., 2019, Well-Read Students Learn Better, arXiv:1908.08962
    "small": Size(4, 512, 8),
    "medium": Size(8, 512, 8),
    "base": Size(12, 768, 12),  # base and large: Devlin et al., 2019, section 3
    "large": Size(24, 1024, 16),
}


class Bert(nn.Module):
    """Scores of the pieces at some positions; the head is not computed at the others.

    `network` is a BertForMaskedLM, whose output layer shares the weights of its embedding."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Logits (B, K, pieces) at positions (B, K) of tokens (B, L)."""
        hidden = self.network.bert(tokens).last_hidden_state
        at = positions[:, :, None].expand(-1, -1, hidden.shape[2])
        return self.network.cls(hidden.gather(1, at))


def build(data: TextData, *, size: str, dropout: float, positions: int) -> nn.Module:
    """A network from tokens (B, L) and positions (B, K) to logits (B, K, pieces)."""
    from transformers import BertConfig, BertForMaskedLM

    check_positions(data, positions)
    chosen = SIZES[size]
    config = BertConfig(
        vocab_size=data.vocabulary.size,
        hidden_size=chosen.width,
        num_hidden_layers=chosen.blocks,
        num_attention_heads=chosen.heads,
        intermediate_size=4 * chosen.width,
        hidden_act="gelu",
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=positions,
        type_vocab_size=2,
        initializer_range=chosen.std,
        layer_norm_eps=1e-12,
        pad_token_id=data.vocabulary.pad,
        tie_word_embeddings=True,
        attn_implementation=attention_of(BertForMaskedLM),
    )
    network = BertForMaskedLM(config)
    if chosen.sinusoids:
        table = network.bert.embeddings.position_embeddings.weight
        with torch.no_grad():  # learned from here on
            table.copy_(sinusoids(positions, chosen.width, chosen.std))
    return Bert(network)


def sinusoids(positions: int, width: int, std: float) -> Tensor:
    """Sines and cosines of positions (Vaswani et al., 2017, section 3.5), of root mean square `std`:
    (positions, width)."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(positions)[:, None] * rates
    return std * math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], 1)
