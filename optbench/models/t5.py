"""T5 (Raffel et al., 2020): encoder and decoder, built by transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from optbench.contracts import TextData
from optbench.models.attention import attention_of

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

SIZES = {  # blocks in each of encoder and decoder, hidden units, units of the inner layer, heads, units per head
    "micro": (2, 128, 256, 4, 32),  # ours, for a CPU
    "small": (6, 512, 2048, 8, 64),  # small to large: Raffel et al., 2020, sections 3.1.1 and 3.7
    "base": (12, 768, 3072, 12, 64),
    "large": (24, 1024, 4096, 16, 64),
}


class T5(nn.Module):
    """Scores of each target given those before it.

    The output layer of `network` shares the weights of both embeddings. Its last `sentinels` pieces mark removed
    spans."""

    def __init__(self, network: T5ForConditionalGeneration, sentinels: int) -> None:
        super().__init__()
        self.network, self.sentinels = network, sentinels

    def forward(self, tokens: Tensor, decoder_tokens: Tensor) -> Tensor:
        """Return logits (B, T, pieces + sentinels) from tokens (B, L) and the shifted targets (B, T)."""
        return self.network(input_ids=tokens, decoder_input_ids=decoder_tokens, use_cache=False).logits


def build(data: TextData, *, size: str, dropout: float, sentinels: int, feed_forward: str) -> nn.Module:
    """Build a network from tokens (B, L) and shifted targets (B, T) to logits (B, T, pieces + sentinels).

    A gated inner layer has two thirds of the units, which keeps the number of weights (Shazeer, 2020,
    arXiv:2002.05202; T5 1.1 has the same in its base size)."""
    from transformers import T5Config, T5ForConditionalGeneration

    blocks, width, inner, heads, units = SIZES[size]
    config = T5Config(
        vocab_size=data.vocabulary.size + sentinels,
        d_model=width,
        d_kv=units,
        d_ff=inner if feed_forward == "relu" else 2 * inner // 3,
        num_layers=blocks,
        num_decoder_layers=blocks,
        num_heads=heads,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        dropout_rate=dropout,
        layer_norm_epsilon=1e-6,
        initializer_factor=1.0,
        feed_forward_proj=feed_forward,
        use_cache=False,
        pad_token_id=data.vocabulary.pad,
        eos_token_id=data.vocabulary.end,
    )
    config.decoder_start_token_id = data.vocabulary.pad
    config._attn_implementation = attention_of(T5ForConditionalGeneration)
    return T5(T5ForConditionalGeneration(config), sentinels)
