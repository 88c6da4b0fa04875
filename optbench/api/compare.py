"""`optbench.compare`: the verdict between two contenders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optbench.api.words import check_texts, path_of, texts_of
from optbench.errors import ConfigError, path_errors

if TYPE_CHECKING:
    import os

    from optbench.reports.build.comparison import Compared, Comparison
    from optbench.reports.model.rows import Pair


@dataclass(frozen=True, repr=False)
class WorkloadVerdict:
    """The verdict on one workload."""

    compared: Compared

    @property
    def pair(self) -> Pair:
        """The verdict with all its numbers."""
        return self.compared.pair

    @property
    def workload(self) -> str:
        """The name of the workload; of several studies, with the study before it."""
        return self.compared.title

    @property
    def verdict(self) -> str:
        """The verdict on the first of the two: better, worse, tie (shown equivalent) or undecided."""
        return self.pair.verdict

    @property
    def difference(self) -> float | None:
        """Mean of the first minus mean of the second, in the unit of the metric."""
        return self.pair.difference.value

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The interval of the difference, at once for all pairs of the workload."""
        return self.pair.difference.low, self.pair.difference.high

    @property
    def p(self) -> float | None:
        """The p-value of no difference, by Holm over all pairs of the workload."""
        return self.pair.adjusted_p

    @property
    def sentence(self) -> str:
        """The verdict in words, with the seeds that would decide it."""
        from optbench.reports.model.sections.verdicts import sentence

        return sentence(self.pair)

    @property
    def evidence(self) -> list[str]:
        """The evidence and its limits, a line each."""
        from optbench.reports.build.comparison import evidence

        return [line.strip() for line in evidence(self.compared)]

    def __repr__(self) -> str:
        return f"<{self.workload}: {self.sentence}>"


@dataclass(frozen=True, repr=False)
class ComparisonResult:
    """The verdict between two contenders on every workload that has both."""

    comparison: Comparison

    @property
    def a(self) -> str:
        """The first contender, which the verdicts are on."""
        return self.comparison.a

    @property
    def b(self) -> str:
        """The second contender."""
        return self.comparison.b

    @property
    def workloads(self) -> list[WorkloadVerdict]:
        """The verdict on each workload."""
        return [WorkloadVerdict(one) for one in self.comparison.workloads]

    @property
    def only(self) -> WorkloadVerdict:
        """The verdict on the only workload. Raises ConfigError if there are several."""
        found = self.workloads
        if len(found) > 1:
            names = ", ".join(one.workload for one in found)
            raise ConfigError(f"{len(found)} workloads have a verdict each: {names}", "See .workloads, or name a study")
        return found[0]

    @property
    def verdict(self) -> str:
        """See `WorkloadVerdict`."""
        return self.only.verdict

    @property
    def difference(self) -> float | None:
        """See `WorkloadVerdict`."""
        return self.only.difference

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """See `WorkloadVerdict`."""
        return self.only.interval

    @property
    def p(self) -> float | None:
        """See `WorkloadVerdict`."""
        return self.only.p

    @property
    def sentence(self) -> str:
        """The verdict in words; of several workloads, one sentence each."""
        return "; ".join(f"{one.workload}: {one.sentence}" for one in self.workloads)

    @property
    def evidence(self) -> list[str]:
        """The evidence and its limits, a line each."""
        return [line for one in self.workloads for line in one.evidence]

    @property
    def assumptions(self) -> list[str]:
        """Sentences on the way the numbers are computed."""
        return self.comparison.assumptions

    def as_dict(self) -> dict[str, Any]:
        """Return what `optbench compare --json` prints."""
        return self.comparison.as_dict()

    def __repr__(self) -> str:
        return f"<{self.sentence}>"

    def __str__(self) -> str:
        return "\n".join(self.comparison.lines)

    def _repr_html_(self) -> str:
        from optbench.api.display import lines_html

        return "".join(lines_html(f"{one.workload}: {one.sentence}", one.evidence) for one in self.workloads)


@path_errors()
def compare(
    a: str,
    b: str,
    path: str | os.PathLike[str] | None = None,
    *,
    margin: str | float = "1%",
    mix: str | Sequence[str] = (),
) -> ComparisonResult:
    """Return the verdict between two contenders, like `optbench compare`.

    `path`: a study by its name or folder, a results folder, or what `optbench.sweep` returned. Raise NoResultsError if
    no workload has both."""
    from optbench.reports.build.comparison import compare as compared
    from optbench.reports.build.options import options_of

    check_texts(a=a, b=b)
    asked = options_of(str(margin), texts_of("mix", mix), records=False)
    return ComparisonResult(compared(a, b, path_of("path", path), asked))
