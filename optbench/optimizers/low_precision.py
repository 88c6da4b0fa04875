r"""Low-precision state around an elementwise rule: its moments are kept in 8 or 16 bits between steps.

    m = decode(stored);   theta, m = rule(theta, g, m);   stored = encode(m)

The step itself uses the moments in full precision, before they are rounded.

int8 (Dettmers, Lewis, Shleifer and Zettlemoyer, 2022, 8-bit Optimizers via Block-wise Quantization, arXiv:2110.02861;
blocks, map and rounding as in torchao's AdamW8bit): blocks of `block` elements, in the order of the tensor's elements;
the last block may be shorter.

    scale = max(max |m| of the block, 1e-12);   code = the nearest entry of the map to m / scale

The map is the paper's dynamic tree: 0, 1, and for i = 0..6 the midpoints of k equal parts of [0.1, 1] times 10^(i-6),
k = 2^i with both signs for moments of either sign, k = 2^(i+1) for those that are never negative. State: 1 byte an
element and 4 a block for each moment.

bf16: stochastic rounding. To the nearest, a moment stands still once its change in a step is below half the spacing of
bf16, 1/512 to 1/256 of it: beta2 = 0.999 changes it by 1/1000 (Zamirai et al., 2021, Revisiting BFloat16 Training,
arXiv:2010.06192, for weights). The upper neighbour is taken with the probability that keeps the mean. The random bits
are a hash of the element's place, of the moment, and of the steps so far, which the state counts: a resumed run draws
the same. State: 2 bytes an element and 8 a tensor for each moment.

Tensors of fewer than `smallest` elements keep their state as it is.
"""

from __future__ import annotations

import functools
import itertools
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from optbench.errors import ConfigError
from optbench.optimizers.core.engine import RuleOptimizer, number_dtype
from optbench.optimizers.core.rule import Rule, State, is_elementwise
from optbench.optimizers.core.storage import Storage

LEAST_SCALE = 1e-12
LOW_32, LOW_16 = (1 << 32) - 1, (1 << 16) - 1
MIX = 0x45D9F3B  # an odd multiplier whose products with 32 bits stay below 2^63


def low_precision(
    optimizer: Any,
    *,
    dtype: str,
    block: int,
    smallest: int,
    moments: Mapping[str, str] | str = "",
    implementations: Mapping[str, object] | str = "",
) -> RuleOptimizer:
    """Return the optimizer, which from now on keeps its moments in `dtype`: "bf16" or "int8".

    `moments` maps the names of its moments to "signed" or "unsigned". Raises ConfigError where its rule is not ours,
    not elementwise, or without moments."""
    what = f"state={dtype}"
    if not isinstance(optimizer, RuleOptimizer):
        hint = "Set optimizer.impl=optbench" if "optbench" in implementations else "Leave out state="
        raise ConfigError(f"{what} needs a rule of optbench, and {type(optimizer).__name__} is not one", hint)
    every = [(theta, group) for group in optimizer.param_groups for theta in group["params"]]
    if not all(is_elementwise(optimizer.rule_of(theta, group, 1)) for theta, group in every):
        raise ConfigError(
            f"{what} needs a rule that treats every element by itself, which {type(optimizer).__name__} does not",
            "Leave out state=, or choose e.g. optimizer=lion",
        )
    if not isinstance(moments, Mapping):
        raise ConfigError(
            f"{what}: the file of {type(optimizer).__name__} names no moments that may be rounded (about.moments)",
            "Leave out state=, or choose e.g. optimizer=lion",
        )
    theta, group = every[0]
    optimizer.storage = LowPrecision(dtype, block, smallest, moments, list(optimizer.new_state(theta, group)))
    return optimizer


class LowPrecision(Storage):
    """Keeps each moment of a large tensor as two tensors: NAME in int8 or bf16, and NAME_scale or NAME_draws."""

    def __init__(self, dtype: str, block: int, smallest: int, moments: Mapping[str, str], names: Sequence[str]) -> None:
        """`names`: the rule's state tensors in their order."""
        self.dtype, self.block, self.smallest = dtype, block, smallest
        self.names, self.moments = list(names), dict(moments)

    def rounds(self, theta: Tensor) -> bool:
        """Return True if the moments of this parameter are rounded."""
        return theta.numel() >= self.smallest and theta.is_floating_point()

    def codecs(self, theta: Tensor) -> list[tuple[str, Codec | None]]:
        """Return the codec of each state tensor of a parameter; None where it is kept as it is."""
        dtype, device = number_dtype(theta.dtype), theta.device
        codecs: dict[str, Codec] = {
            name: Bf16(place) if self.dtype == "bf16" else int8(sign, self.block, dtype, device)
            for place, (name, sign) in enumerate(self.moments.items())
        }
        return [(name, codecs.get(name)) for name in self.names]

    def new_state(self, theta: Tensor, state: State) -> State:
        """Return the moments' stored forms, and the other tensors as they are."""
        if not self.rounds(theta):
            return state
        found: State = {}
        for name, codec in self.codecs(theta):
            found[name] = state[name]
            if codec is not None:
                found[name], found[f"{name}_{codec.beside}"] = codec.new(state[name])
        return found

    def rule(self, rule: Rule, theta: Tensor) -> Rule:
        """Return the rule between decoding and encoding."""
        return around(rule, tuple(codec for _, codec in self.codecs(theta))) if self.rounds(theta) else rule


@functools.cache
def around(rule: Rule, codecs: tuple[Codec | None, ...]) -> Rule:
    """Return the rule for stored state: it decodes the moments, takes the step, and encodes them in place."""
    stored = sum(1 if codec is None else 2 for codec in codecs)

    def stored_rule(theta: Tensor, g: Tensor, *rest: Tensor) -> None:
        left = iter(rest[:stored])
        parts = [(next(left),) if codec is None else (next(left), next(left)) for codec in codecs]
        state = [
            own[0] if codec is None else codec.decode(*own).to(theta.dtype).view(theta.shape)
            for codec, own in zip(codecs, parts, strict=True)
        ]
        rule(theta, g, *state, *rest[stored:])
        for codec, own, tensor in zip(codecs, parts, state, strict=True):
            if codec is not None:
                codec.encode(tensor.reshape(-1), *own)

    return with_own_code(stored_rule, f"{getattr(rule, '__name__', 'rule')}_stored")


class Int8:
    """Codes (n,) of a map and a scale for each block of elements; see `int8`."""

    beside = "scale"
    """What follows NAME_ in the second tensor's name."""

    def __init__(self, sign: str, block: int, dtype: torch.dtype, device: torch.device) -> None:
        self.block, self.dtype = block, dtype
        entries = dynamic_map(sign)
        self.map = torch.tensor(entries, dtype=dtype, device=device)
        middles = [(low + high) / 2 for low, high in itertools.pairwise(entries)]
        self.middles = torch.tensor(middles, dtype=dtype, device=device)

    def new(self, moment: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes and scales."""
        codes = torch.zeros(moment.numel(), dtype=torch.uint8, device=moment.device)
        scale = torch.zeros(-(-moment.numel() // self.block), dtype=self.dtype, device=moment.device)
        self.encode(moment.reshape(-1), codes, scale)
        return codes, scale

    def decode(self, values: Tensor, beside: Tensor) -> Tensor:
        """Return map[code] times the block's scale."""
        scales = beside[:, None].expand(-1, self.block).reshape(-1)[: len(values)]
        return self.map[values.int()] * scales

    def encode(self, moment: Tensor, values: Tensor, beside: Tensor) -> None:
        """Store the block's largest size, and the nearest entries of the map; a tie goes up."""
        count = len(moment)
        blocks = pad(moment.to(self.dtype), (0, len(beside) * self.block - count)).view(-1, self.block)
        beside.copy_(blocks.abs().amax(1).clamp(min=LEAST_SCALE))
        shares = (blocks / beside[:, None]).view(-1)[:count]
        values.copy_(torch.bucketize(shares, self.middles, right=True, out_int32=True))


int8 = functools.cache(Int8)
"""The codec of a sign, a block length, a dtype of scales and a device: the same object each time."""


def dynamic_map(sign: str) -> list[float]:
    """Return the 256 entries of the dynamic tree in ascending order, rounded to fp32."""
    entries = [0.0, 1.0]
    for i in range(7):
        parts = 2**i if sign == "signed" else 2 ** (i + 1)
        middles = [10.0 ** (i - 6) * (0.1 + 0.9 * (part + 0.5) / parts) for part in range(parts)]
        entries += [*middles, *(-middle for middle in middles if sign == "signed")]
    return [float(np.float32(entry)) for entry in sorted(entries)]


@dataclass(frozen=True)
class Bf16:
    """Values (n,) in bf16, and the number of steps that rounded them so far."""

    place: int
    """Number of the moment: each draws bits of its own."""
    beside: str = "draws"

    def new(self, moment: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values, to the nearest, and no steps."""
        return moment.reshape(-1).to(torch.bfloat16), torch.zeros(1, dtype=torch.int64, device=moment.device)

    def decode(self, values: Tensor, beside: Tensor) -> Tensor:
        """Return the values in fp32."""
        return values.float()

    def encode(self, moment: Tensor, values: Tensor, beside: Tensor) -> None:
        """Round stochastically: add 16 random bits below those that bf16 keeps, and cut the sum there."""
        beside.add_(1)
        exact = moment.float()
        bits = exact.view(torch.int32) + random_bits(len(moment), beside, self.place)
        rounded = (bits & ~LOW_16).view(torch.float32)
        values.copy_(torch.where(exact.isfinite(), rounded, exact))


def random_bits(count: int, step: Tensor, place: int) -> Tensor:
    """Return 16 random bits for each of `count` elements, as int32: a hash of its number, the step and the place."""
    bits = torch.arange(count, device=step.device) * 0x9E3779B1 + (step * 16 + place) * 0x85EBCA77
    for _ in range(2):
        bits = bits & LOW_32
        bits = (bits ^ (bits >> 16)) * MIX
    bits = bits & LOW_32
    return ((bits ^ (bits >> 16)) & LOW_16).int()


Codec = Int8 | Bf16


def with_own_code(function: Any, name: str) -> Rule:
    """Return the function with a code object of its own, to which the compiler ties what it has compiled."""
    code = function.__code__.replace(co_name=name)
    return types.FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
