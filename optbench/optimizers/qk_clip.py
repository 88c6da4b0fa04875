r"""QK-Clip (Kimi Team, 2025, Kimi K2: Open Agentic Intelligence, arXiv:2507.20534, section 2.1 and algorithm 1), around
any optimizer. Around Muon with weight decay and steps of RMS 0.2 (optimizer=muon optimizer.scale=rms) it is MuonClip.

    S_max^h = max over the samples of the batch and over tokens i, j of  scale q_i^h k_j^h        (of the forward pass)
    theta  <- the inner optimizer's step
    gamma_h = min(1, tau / S_max^h)
    W_q^h  <- sqrt(gamma_h) W_q^h,   W_k^h <- sqrt(gamma_h) W_k^h

The largest logit is one of the weights before the step, as in the paper. What the paper leaves open:
- Biases of the projections are scaled too; without them the logits would not be multiplied by gamma. (The paper's
  model has none. Megatron-LM scales weights alone.)
- Query heads that share a key have one gamma, from the largest of their logits (as in Megatron-LM).
- Pairs of tokens that a mask separates don't count; nor does what is added to the product, such as T5's position bias,
  since gamma would not scale it.

State: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import AttentionHeads
from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import has_eval_weights
from optbench.optimizers.core.rule import Closure, Loss
from optbench.optimizers.core.wrapper import Wrapper


class QKClip(Wrapper):
    """An optimizer after whose steps the heads with large logits are scaled down.

    `attention`: the heads of the network, whose maxima are those of the current step. Raises ConfigError for an
    optimizer that makes the weights anew from others in every step."""

    def __init__(self, inner: Any, *, tau: float, attention: Sequence[AttentionHeads]) -> None:
        super().__init__(inner)
        if has_eval_weights(inner):
            raise ConfigError(
                "qk_clip cannot scale the weights of an optimizer that makes them from others (schedule-free)",
                "Leave one of them out",
            )
        self.tau, self.attention = tau, attention

    def step(self, closure: Closure | None = None) -> Loss:
        """Take one inner step, then scale the heads; return the closure's loss."""
        loss = self.step_inner(closure)
        with torch.no_grad():
            for heads in self.attention:
                factors = factors_of(heads.largest, self.tau)
                for tensor, head in heads.projections:
                    tensor.mul_(factors.to(tensor.dtype)[head].view(-1, *[1] * (tensor.ndim - 1)))
        return loss

    def attention_measures(self) -> dict[str, Tensor]:
        """Return the largest logit of this step and the share of heads that were scaled, as scalars on the device."""
        largest = torch.cat([heads.largest for heads in self.attention])
        return {"attention_logit": largest.max(), "clipped_heads": (largest > self.tau).double().mean()}


def factors_of(largest: Tensor, tau: float) -> Tensor:
    """Return sqrt(gamma) of each head, then a 1 for rows of no head; exactly 1 where a head is not to be scaled.

    A head whose logits are NaN isn't, nor one without a positive logit."""
    gamma = torch.where(largest > tau, tau / largest, 1.0)
    return torch.cat([gamma.sqrt(), gamma.new_ones(1)])
