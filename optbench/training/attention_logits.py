"""The largest attention logits of each head in a step.

Attention is seen as it is computed: in calls of torch's scaled_dot_product_attention, whose queries and keys must each
be made by one linear layer.

The logits are computed again for this, in the kernel's dtype and in parts: 2 B H N M d more operations in a pass, for B
samples, H heads, N queries, M keys and d units. Forward and backward of attention itself take 12 B H N M d.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from optbench.contracts import AttentionHeads, Batch, SumCount, Turn
from optbench.errors import ConfigError
from optbench.training.attention_heads import Layer, heads_of
from optbench.training.parallel import Communicator
from optbench.training.player import ActivePlayer

PART = 2**24  # logits computed at once
MASKED = -1e4  # a mask that is added has at most this where a query does not see a key

Node = Any
"""A node of autograd's graph: torch has no public type for it."""


class AttentionPlayer(ActivePlayer):
    """Takes optimizer steps, and records the largest attention logits of each step's first forward and backward pass.

    `heads` are filled in by the first step."""

    def __init__(self, heads: list[AttentionHeads], asked_by: str, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.logits = AttentionLogits(heads, self.parameters, asked_by)
        self._recording = False

    def take(self, turn: Turn, measure: bool) -> None:
        """Take one optimizer step."""
        self._recording = True
        super().take(turn, measure)

    def gradients(self, turn: Turn) -> Tensor:
        """Compute gradients and loss; record the logits the first time in a step."""
        if not self._recording:
            return super().gradients(turn)
        self._recording = False
        self.logits.begin()
        loss = super().gradients(replace(turn, loss=self.logits.recorded(turn.loss)))
        self.logits.finish(self.comm)
        return loss

    @torch.no_grad()
    def _measure_after(self, before: list[Tensor]) -> None:
        super()._measure_after(before)
        optimizer: Any = self.optimizer
        self.measured.update(optimizer.attention_measures())


class AttentionLogits:
    """Keeps the largest logits of every attention whose projections are among the `trained` tensors, in `heads`."""

    def __init__(self, heads: list[AttentionHeads], trained: Sequence[Tensor], asked_by: str) -> None:
        self.heads, self.asked_by = heads, asked_by
        self.trained = {id(tensor) for tensor in trained}
        self.known: dict[tuple[int, int], tuple[AttentionHeads, Tensor]] = {}
        """Heads, and the head of each of the query's, by the ids of the query's and the key's weight."""
        self.searching = True

    def begin(self) -> None:
        """Forget the last step's maxima."""
        for heads in self.heads:
            heads.largest.fill_(-torch.inf)

    def recorded(self, loss: Callable[[Batch], SumCount]) -> Callable[[Batch], SumCount]:
        """Return the loss of a batch, during whose computation attention is recorded."""

        def watched(batch: Batch) -> SumCount:
            with Watch(self):
                return loss(batch)

        return watched

    def finish(self, comm: Communicator | None) -> None:
        """Take the maxima over ranks. Raises ConfigError if no attention was seen."""
        self.searching = False
        if not self.heads:
            raise ConfigError(
                f"{self.asked_by} has no attention whose logits can be read",
                "Leave the modifier out: it reads calls of scaled_dot_product_attention (not in nn.MultiheadAttention)",
            )
        if comm is not None:
            sizes = [len(heads.largest) for heads in self.heads]
            own = torch.cat([heads.largest for heads in self.heads])
            rows = own.new_zeros(comm.world_size, len(own))
            rows[comm.rank] = own
            comm.all_reduce([rows])
            for heads, largest in zip(self.heads, rows.amax(0).split(sizes), strict=True):
                heads.largest.copy_(largest)

    @torch.no_grad()
    def add(self, layers: tuple[Layer, Layer], query: Tensor, key: Tensor, logits: Callable[[], Tensor]) -> None:
        """Include the `logits()`, the largest of each head, of one call with a query and a key (B, H, N, d)."""
        pair = (id(layers[0][0]), id(layers[1][0]))
        if pair not in self.known:
            if not self.searching:
                raise self.unreadable("it is not in the first step")
            self.known[pair] = heads_of(layers, query, key, self.unreadable)
            self.heads.append(self.known[pair][0])
        heads, groups = self.known[pair]
        heads.largest.scatter_reduce_(0, groups, logits().to(heads.largest.dtype), "amax")

    def is_trained(self, layer: Layer) -> bool:
        """Return True if the optimizer has the layer's weight and bias."""
        return all(id(tensor) in self.trained for tensor in layer[:2] if tensor is not None)

    def unreadable(self, reason: str) -> ConfigError:
        """Return the error for an attention that can't be used."""
        return ConfigError(
            f"{self.asked_by} has an attention that cannot be scaled: {reason}", "Leave the modifier out"
        )


class Watch(TorchFunctionMode):
    """A context that sees the linear layers and the attention of one forward pass."""

    def __init__(self, logits: AttentionLogits) -> None:
        super().__init__()
        self.logits = logits
        self.layers: dict[Node, Layer] = {}
        """Linear layers by the node of autograd's graph that made their output."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make the call; note the layer or the attention."""
        found = func(*args, **(kwargs or {}))
        if func is linear and found.grad_fn is not None:
            self.note(found, *args[1:], **(kwargs or {}))
        elif func is scaled_dot_product_attention:
            self.attend(*args, **(kwargs or {}))
        return found

    def note(self, output: Tensor, weight: Tensor, bias: Tensor | None = None, **others: Tensor) -> None:
        """Remember a linear layer."""
        self.layers[output.grad_fn] = (weight, bias, output if self.logits.searching else None)

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        """Record one attention, unless its projections are not trained here."""
        if not (query.requires_grad and key.requires_grad):
            return
        layers = self.source(query, "query"), self.source(key, "key")
        if all(self.logits.is_trained(layer) for layer in layers):
            self.logits.add(layers, query, key, lambda: largest_logits(query, key, attn_mask, is_causal, scale))

    def source(self, tensor: Tensor, name: str) -> Layer:
        """Return the linear layer that a tensor was made from."""
        found = {node: self.layers[node] for node in nearest(tensor.grad_fn, self.layers)}
        if len(found) != 1:
            raise self.logits.unreadable(f"its {name} is made by {len(found)} linear layers")
        return next(iter(found.values()))


def nearest(node: Node, wanted: Mapping[Node, object]) -> Iterator[Node]:
    """Yield the wanted nodes on the way back from a node of autograd's graph, and none behind them."""
    waiting, seen = [node], {node}
    while waiting:
        node = waiting.pop()
        if node in wanted:
            yield node
            continue
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)


def largest_logits(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    """Return the largest logit of each query head, (H,), over the pairs of tokens that no mask separates.

    Arguments as in scaled_dot_product_attention: (B, H, N, d) and (B, H or fewer, M, d). A number that a mask adds is
    left out."""
    batch, heads, queries, units = query.shape
    key = key.repeat_interleave(heads // key.shape[1], 1).mT
    query = query * (units**-0.5 if scale is None else scale)
    mask = None if mask is None else mask.expand(batch, heads, queries, key.shape[-1])
    rows = max(1, PART // (batch * heads * key.shape[-1]))
    parts: list[Tensor] = []
    for start in range(0, queries, rows):
        end = min(start + rows, queries)
        seen = end if causal else key.shape[-1]
        logits = query[:, :, start:end] @ key[..., :seen]
        if causal:
            hidden = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).triu(start + 1)
            logits = logits.masked_fill(hidden, -torch.inf)
        if mask is not None:
            part = mask[:, :, start:end]
            logits = logits.masked_fill(~part if part.dtype == torch.bool else part <= MASKED, -torch.inf)
        parts.append(logits.amax((0, 2, 3)))
    largest = torch.stack(parts).amax(0)
    return largest.clamp(max=torch.finfo(largest.dtype).max)
