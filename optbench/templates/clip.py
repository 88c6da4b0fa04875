"""A clip of your own: a function that changes gradients before the optimizer sees them.

optbench run clip=./my_name.py:my_name model=mlp steps=200
optbench sweep clip=none,./my_name.py:my_name model=mlp steps=200 --trials 4 --seeds 3
"""

from collections.abc import Sequence

import torch


@torch.no_grad()
def my_name(parameters: Sequence[torch.nn.Parameter], quantile: float = 0.99) -> None:
    """Bring the largest entries of each gradient down to a quantile of their sizes.

    The arguments after the parameters are settings: clip.quantile=0.9."""
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and gradient.numel() > 1:
            limit = gradient.abs().flatten().kthvalue(max(1, int(quantile * gradient.numel()))).values
            gradient.clamp_(-limit, limit)
