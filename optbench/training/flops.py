"""Floating-point operations of a step, by torch's counter."""

from __future__ import annotations

from collections.abc import Callable

import torch


def count_flops(step: Callable[[], object]) -> int | None:
    """Call `step` and return its floating-point operations; None if the counter has no formula for an operator."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        with counter:
            step()
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return None
    return counter.get_total_flops()
