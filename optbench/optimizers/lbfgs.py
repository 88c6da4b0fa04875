"""torch's L-BFGS with the arguments that every supported torch has: from 2.14 on it can maximise too, before it cannot
be told not to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class LBFGS(torch.optim.LBFGS):
    """torch.optim.LBFGS, minimising, with nothing left to a default."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        max_iter: int,
        max_eval: int | None,
        tolerance_grad: float,
        tolerance_change: float,
        history_size: int,
        line_search_fn: str | None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            max_iter=max_iter,
            max_eval=max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )
