"""Masked language modelling (Devlin et al., 2019, arXiv:1810.04805): masked pieces are predicted from the others.

Masks are dynamic (Liu et al., 2019, arXiv:1907.11692). They depend only on the seed and the sample's position in the
stream: the same in any batch, micro-batch or device, but different in the next epoch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, Seeds, TextData
from optbench.errors import ConfigError
from optbench.tasks.language import IGNORED, LanguageTask

POSITION, KIND, PIECE = range(3)  # streams of random numbers: target positions, kind of replacement, random piece
SPREADS = 4.0  # limit on targets of independent choices, in standard deviations above the mean


class MaskedLM(LanguageTask):
    """From tokens (B, L) and the positions (B, K) of the targets to logits (B, K, pieces) at these positions only.

    K does not depend on the sample, so that shapes are static. With masking=fixed, every sample has K = round(share L)
    targets, as in the code of Devlin et al. With masking=bernoulli, each piece is a target with probability `share`, up
    to K targets, four standard deviations above the mean. The position of a sample's smallest draw is always a target,
    so that no batch is without one. Special pieces are targets only if a sample has no others."""

    def __init__(
        self,
        model: nn.Module,
        data: TextData,
        seeds: Seeds,
        *,
        masking: str,
        mask_share: float,
        replaced_by_mask: float,
        replaced_by_random: float,
    ) -> None:
        super().__init__(model, data, seeds)
        if replaced_by_mask + replaced_by_random > 1:
            raise ConfigError(
                f"model.task.replaced_by_mask={replaced_by_mask} and "
                f"model.task.replaced_by_random={replaced_by_random} sum to more than 1"
            )
        self.by_mask, self.by_any = replaced_by_mask, replaced_by_mask + replaced_by_random
        self.targets, self.threshold = target_limits(masking, data.sequence_length, mask_share)
        special = torch.zeros(data.vocabulary.size, dtype=torch.bool)
        special[list(data.vocabulary.special)] = True
        self.is_special = special.to(self.device)
        self.ordinary = torch.nonzero(~special)[:, 0].to(self.device)

    def prepared(self, batch: Batch, seed: int) -> Batch:
        """Return tokens with replaced targets, the targets' positions and their original pieces."""
        tokens, index = batch["tokens"], batch["index"]
        length = tokens.shape[1]
        chosen = counter_rng.uniform(seed, index, length, POSITION) + self.is_special[tokens]  # special ones last
        smallest, positions = chosen.topk(self.targets, dim=1, largest=False)
        is_target = smallest < self.threshold
        is_target[:, 0] = True
        pieces = tokens.gather(1, positions)
        hidden = self.replaced(pieces, positions, seed, index, length)
        inputs = tokens.scatter(1, positions, torch.where(is_target, hidden, pieces))
        return {"inputs": inputs, "positions": positions, "labels": torch.where(is_target, pieces, IGNORED)}

    def replaced(self, pieces: Tensor, positions: Tensor, seed: int, index: Tensor, length: int) -> Tensor:
        """Return target pieces (B, K) as the model sees them: the mask, a random ordinary piece, or unchanged."""
        kind = counter_rng.uniform(seed, index, length, KIND).gather(1, positions)
        draw = counter_rng.uniform(seed, index, length, PIECE).gather(1, positions)
        random = self.ordinary[(draw * len(self.ordinary)).long()]
        pieces = torch.where(kind < self.by_any, random, pieces)
        return torch.where(kind < self.by_mask, self.vocabulary.mask, pieces)

    def logits(self, batch: Batch) -> Tensor:
        """Return scores of the targets."""
        return self.scored(self.model(batch["inputs"], batch["positions"]), batch)


def target_limits(masking: str, length: int, share: float) -> tuple[int, float]:
    """Return the maximum number of targets in a sample, and the draw below which a position is a target."""
    mean = share * length
    spread = math.sqrt(mean * (1 - share))
    most = {"fixed": round(mean), "bernoulli": math.ceil(mean + SPREADS * spread)}[masking]
    return min(max(most, 1), length), {"fixed": 1.0, "bernoulli": share}[masking]
