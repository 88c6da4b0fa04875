"""torch's L-BFGS with the arguments that every supported torch has (`maximize` exists only from 2.14 on)."""

from __future__ import annotations

import torch
from torch.optim.optimizer import ParamsT


class LBFGS(torch.optim.LBFGS):
    """torch.optim.LBFGS, minimising; every argument is required."""

    def __init__(
        self,
        params: ParamsT,
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
