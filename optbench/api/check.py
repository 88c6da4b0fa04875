"""`optbench.check`: conformance of an optimizer with its paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.api.words import Overrides, check_flags, check_texts, path_of, words_of
from optbench.errors import path_errors

if TYPE_CHECKING:
    from optbench.checks.result import CheckResult


class Findings(tuple["CheckResult", ...]):
    """The result of every check of one optimizer. Each has `check`, `state`, `detail`, `declared` and `holds`."""

    optimizer: str
    implementation: str

    @property
    def holds(self) -> bool:
        """True if every check passes or differs as the optimizer's file declares."""
        return all(found.holds for found in self)

    @property
    def title(self) -> str:
        """The optimizer and its implementation."""
        return f"{self.optimizer} by {self.implementation}"

    def __repr__(self) -> str:
        wrong = [found.check for found in self if not found.holds]
        how = f"not as expected: {', '.join(wrong)}" if wrong else "all as expected"
        return f"<{self.title}: {len(self)} checks, {how}>"

    def _repr_html_(self) -> str:
        from optbench.api.display import rows_html

        return rows_html(self.title, [found.row() for found in self])


@path_errors()
def check(
    overrides: Overrides = (),
    *,
    against: str = "",
    distributed: bool = False,
    config_dir: str | Path | None = None,
    **keywords: Any,
) -> Findings:
    """Check an optimizer against its paper, like `optbench check`: optbench.check(optimizer="lion").

    `against`: the paper's rule to compare with. `distributed`: also on two ranks. A check that fails is a finding, not
    an error. Raise ConfigError if the optimizer cannot be built."""
    from optbench.checks.run_all import check as examine
    from optbench.config import load

    check_texts(against=against)
    check_flags(distributed=distributed)
    own = path_of("config_dir", config_dir)
    config = load(words_of(overrides, keywords, check, own), own)
    found = Findings(examine(config, against, distributed=distributed))
    found.optimizer, found.implementation = config.optimizer.name, str(config.optimizer.settings["impl"])
    return found
