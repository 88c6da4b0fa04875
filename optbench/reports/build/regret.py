"""Regret at defaults and after few trials: which runs go into the measure."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.build.leaderboard import trivial_of
from optbench.reports.contenders import Contender, tried_by
from optbench.reports.model.content import Workload
from optbench.reports.model.rows import Estimate, Regret
from optbench.reports.statistics.measures.regret import after, mean_default, regrets, scale_of
from optbench.reports.statistics.scale import DECADES


def regret_section(contenders: Sequence[Contender], base: Workload, level: float) -> tuple[Regret, ...]:
    """Return the regrets of every contender that was tuned."""
    sign = 1.0 if base.direction == "max" else -1.0
    tried = {one.name: tried_by(one, sign) for one in contenders if len(one.points) > 1}
    decades = base.scale == DECADES
    scale = scale_of(tried, trivial_of(contenders, "val_metric"), base.direction, decades)
    found = []
    for name, one in tried.items():
        own = regrets(one, base.direction, level, decades)
        share = regrets(one, base.direction, level, decades, scale) if scale else None
        if own is not None:
            found.append(
                Regret(
                    contender=name,
                    best=own.best,
                    default=own.default,
                    one=after(own, 1),
                    four=after(own, 4),
                    eight=after(own, 8),
                    default_share=share.default.value if share else None,
                    shares=share.after if share else (),
                    default_failed=one.has_default and one.default is None,
                    logarithms=decades,
                )
            )
    return tuple(found)


def at_defaults(workloads: Sequence[Workload], contender: str) -> Estimate:
    """Return the mean regret at defaults over workloads, as a share; None unless every workload has one."""
    rows = [next((one for one in w.regret if one.contender == contender), None) for w in workloads]
    shares = [None if row is None else 1.0 if row.default_failed else row.default_share for row in rows]
    return Estimate(mean_default(shares), n=len(shares))
