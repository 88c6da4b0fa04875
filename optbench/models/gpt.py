"""GPT-2 (Radford et al., 2019), built by transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from optbench.contracts import TextData
from optbench.models.attention import attention_of, check_positions, heads_of

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

Network = TypeVar("Network", bound=nn.Module)

SIZES = {  # blocks, hidden units, heads; the inner layer has four times the hidden units
    "micro": (2, 128, 4),  # ours, for a CPU
    "small": (12, 768, 12),  # small to large: Radford et al., 2019, table 2
    "medium": (24, 1024, 16),
    "large": (36, 1280, 20),
}


class Gpt(nn.Module):
    """Scores of the next piece at every position.

    The output layer of `network` shares the weights of its embedding."""

    def __init__(self, network: GPT2LMHeadModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (B, L, pieces) of the piece after each of tokens (B, L)."""
        return self.network(tokens, use_cache=False).logits


def build(data: TextData, *, size: str, width: int | None, dropout: float, positions: int) -> nn.Module:
    """Build a network from tokens (B, L) to logits (B, L, pieces).

    `width`: hidden units in place of the size's, with heads of the same width. Raises ConfigError unless they fit."""
    from transformers import GPT2Config, GPT2LMHeadModel

    check_positions(data, positions)
    blocks, own_width, own_heads = SIZES[size]
    width = width or own_width
    config = GPT2Config(
        vocab_size=data.vocabulary.size,
        n_positions=positions,
        n_embd=width,
        n_layer=blocks,
        n_head=heads_of(width, own_width // own_heads),
        activation_function="gelu_new",
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        layer_norm_epsilon=1e-5,
        initializer_range=0.02,
        bos_token_id=data.vocabulary.end,
        eos_token_id=data.vocabulary.end,
        tie_word_embeddings=True,
        use_cache=False,
    )
    config._attn_implementation = attention_of(GPT2LMHeadModel)
    return Gpt(with_linear_layers(GPT2LMHeadModel(config)))


def with_linear_layers(network: Network) -> Network:
    """Replace transformers' Conv1D, with weights (in, out), by nn.Linear, with weights (out, in).

    Optimizers and K-FAC use a weight's shape and its module's type."""
    from transformers.pytorch_utils import Conv1D

    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D):
                setattr(module, name, linear_of(child.weight, child.bias))
    return network


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return the layer x -> x weight + bias for a weight (in, out)."""
    inputs, outputs = weight.shape
    layer = nn.Linear(inputs, outputs, device="meta")
    layer.weight = nn.Parameter(weight.detach().T.contiguous())
    layer.bias = nn.Parameter(bias.detach().clone(memory_format=torch.contiguous_format))
    return layer
