"""Span corruption (Raffel et al., 2020, arXiv:1910.10683, section 3.1.4): spans are removed from a sample and become
the targets.

    sample   a b c d e f g h       noise: c d, g h
    inputs   a b <0> e f <1> end
    targets  <0> c d <1> g h end

A sample of L tokens has N = round(L density) noise tokens, clamped to 1 .. L - 1, in S = round(N / mean span) spans,
clamped to 1 .. min(N, L - N). The other tokens form S spans too. Both are divided at random, with equally likely
divisions, and alternate. As in the authors' code, the first span is not noise and the last one is, so that the final
sentinel of the paper's figure 2 is absent. Lengths are the same for every sample:

    inputs   L - N + S + 1         targets  N + S + 1

Sentinels are numbered upwards from `first_sentinel` in the order of their spans; T5's own vocabulary numbers downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from optbench import counter_rng

NOISE, REST = range(2)  # streams of random numbers for the divisions of noise and rest


@dataclass(frozen=True)
class SpanShape:
    """The numbers of noise tokens and spans in a sample of `length` tokens."""

    length: int
    noise: int
    spans: int

    @property
    def inputs(self) -> int:
        """Tokens of the encoder's input."""
        return self.length - self.noise + self.spans + 1

    @property
    def targets(self) -> int:
        """Tokens of the decoder's output."""
        return self.noise + self.spans + 1


def span_shape(length: int, density: float, mean_span: float) -> SpanShape:
    """Return the numbers of noise tokens and spans for samples of `length` >= 2 tokens."""
    noise = min(max(round(length * density), 1), length - 1)
    spans = min(max(round(noise / mean_span), 1), noise, length - noise)
    return SpanShape(length, noise, spans)


def corrupt(
    tokens: Tensor, index: Tensor, seed: int, shape: SpanShape, *, first_sentinel: int, end: int
) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of tokens (B, L); the division depends only on (seed, index)."""
    noise = random_division(seed, index, shape.noise, shape.spans, NOISE)
    rest = random_division(seed, index, shape.length - shape.noise, shape.spans, REST)
    ends = torch.stack([rest, noise], 2).flatten(1).cumsum(1)  # of the alternating spans: (B, 2 S)
    places = torch.arange(shape.length, device=tokens.device).expand_as(tokens).contiguous()
    span = torch.searchsorted(ends, places, right=True)  # the span of each token, 0 .. 2 S - 1: (B, L)
    is_noise, number = span % 2 == 1, span // 2
    each = torch.arange(shape.spans, device=tokens.device)
    after_rest, before_noise = rest.cumsum(1) + each, noise.cumsum(1) - noise + each
    filled = (first_sentinel + each).expand(len(tokens), -1)
    inputs = tokens.new_full((len(tokens), shape.inputs + 1), end)
    inputs.scatter_(1, after_rest, filled)
    inputs.scatter_(1, destinations(~is_noise, number, shape.inputs), tokens)
    targets = tokens.new_full((len(tokens), shape.targets + 1), end)
    targets.scatter_(1, before_noise, filled)
    targets.scatter_(1, destinations(is_noise, number + 1, shape.targets), tokens)
    return inputs[:, :-1], targets[:, :-1]


def destinations(kept: Tensor, sentinels_before: Tensor, spare: int) -> Tensor:
    """Return each token's column: after earlier kept tokens and sentinels; for tokens not kept, the spare column."""
    return torch.where(kept, kept.long().cumsum(1) - 1 + sentinels_before, spare)


def random_division(seed: int, index: Tensor, items: int, parts: int, stream: int) -> Tensor:
    """Divide `items` at parts - 1 random places; return sizes (B, parts), each at least 1."""
    chosen = counter_rng.uniform(seed, index, items - 1, stream)
    cuts = chosen.topk(parts - 1, dim=1, largest=False).indices.sort(1).values + 1
    first, last = cuts.new_zeros(len(index), 1), cuts.new_full((len(index), 1), items)
    return torch.cat([first, cuts, last], 1).diff(dim=1)
