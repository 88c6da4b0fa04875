"""Steps that fp16's loss scaling skips: those whose gradients overflowed."""

from __future__ import annotations

import inspect
from typing import Any

from optbench.optimizers.core.inner_state import inner_optimizers

PROMISE = "_step_supports_amp_scaling"
"""torch's mark of an optimizer, such as a fused one, whose step looks at `found_inf` itself."""


def let_scaler_skip(optimizer: Any) -> None:
    """Make GradScaler skip the steps itself, unless the optimizer's own class promises to do so.

    An optimizer around another one may pass the other's promise on, as attributes that it lacks. GradScaler would set
    `found_inf` on the outer one only: the inner one would step, and its weights would become NaN."""
    promised = getattr(optimizer, PROMISE, False)
    of_its_own = inspect.getattr_static(optimizer, PROMISE, False) and not inner_optimizers(optimizer)
    if promised and not of_its_own:
        setattr(optimizer, PROMISE, False)
