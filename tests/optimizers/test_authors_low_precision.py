"""8-bit AdamW beside torchao's functions for the map, the blocks and the rounding (torchao/optim/quant_utils.py).

torchao adds up its map in fp32, so that entries differ from ours in the last bit, and now and then a moment falls to
the neighbouring code. So the maps are compared first, and the steps with our map in theirs."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from authors_code import authors, distance

from optbench.optimizers.low_precision import dynamic_map

pytestmark = pytest.mark.authors

BLOCK = 4


@pytest.fixture
def theirs() -> ModuleType:
    return authors("pytorch/ao", "36027d82d1ad9949597ea16002ff4940374b1b94", "torchao/optim/quant_utils.py")


@pytest.mark.parametrize("sign", ["signed", "unsigned"])
def test_the_map_is_torchaos_to_a_rounding_in_fp32(sign: str, theirs: ModuleType) -> None:
    entries = torch.tensor(theirs.create_dynamic_map(signed=sign == "signed"))
    torch.testing.assert_close(torch.tensor(dynamic_map(sign)), entries, rtol=2e-7, atol=0)


def test_adamw_in_8_bits_is_torchaos(theirs: ModuleType) -> None:
    maps = {"exp_avg": dynamic_map("signed"), "exp_avg_sq": dynamic_map("unsigned")}

    class Rounded(torch.optim.AdamW):
        """Rounds its moments by their functions after each step, which is where their AdamW8bit stores them."""

        def step(self, closure: None = None) -> None:  # type: ignore[override]
            super().step()
            for state in self.state.values():
                for name, entries in maps.items():
                    entry = torch.tensor(entries, dtype=torch.float32)
                    flat, scale = theirs.scale_tensor(state[name].view(-1), BLOCK)
                    codes = theirs.quantize_8bit_with_qmap(flat, entry)
                    state[name].copy_(theirs.dequant_with_qmap(codes, entry, scale).view(state[name].shape))

    apart = distance(
        ["optimizer=adamw", "optimizer.impl=optbench", "state=int8", f"state.block={BLOCK}", "state.smallest=1"],
        lambda parameters: Rounded(parameters, lr=1e-3, weight_decay=0.01, foreach=False),
        shapes=((8,), (3, 4), (6, 10), (40, 40)),
    )
    assert apart < 1e-6
