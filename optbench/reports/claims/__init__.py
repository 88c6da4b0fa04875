"""Decide a study's claim: `claim:` of its study.yaml, one criterion or several (optbench.config.claims).

sides      the cells of a study, and the pairs that a criterion compares
together   measures over all workloads at once
measuring  every other measure on two sides
tuning     measures over the trials of a search
budgets    the measure over a ladder of budgets: how much data the reference needs
gains      the interval of a gain, and whether it shows a relation
limits     what keeps a comparison from deciding: bounds, contenders that learned nothing, undertuned losers
deciding   the verdict
sentences  the verdict in a sentence

A comparison is one criterion at one place (a workload, or a pair of cells on it). Its interval shows the relation, or
rules it out, or neither: undecided. A criterion must hold at every place. The verdicts on a claim:

supported            every criterion is shown
not supported        a criterion is ruled out, and none is shown
mixed (k of n)       k of n criteria are shown, and another one is ruled out
undecided            no criterion is ruled out, and at least one is not shown
not testable here    a criterion marked `control: true` is ruled out, or a criterion cannot be tested: the margin is
                     beyond the measure's bounds, or no contender on the workload has learned anything

Corrections. "Supported" needs every comparison to be shown, so that a false one needs the interval of one certain
comparison to err, in one direction: an intersection-union test (Berger, 1982), which needs no correction; its error is
at most (1 - level) / 2. Every other verdict says something of single comparisons, and any of the m could be the false
one. So unless all are shown at the report's level, all m intervals are taken again at 1 - (1 - level) / m (Bonferroni;
Holm's steps would need p-values of every measure). Each comparison can then err in one direction only, since a relation
and its opposite exclude each other, which makes (1 - level) / 2 for all of them; together with the first step at most
1 - level of the studies say anything false of a claim. Controls are not counted: they only ever withhold a verdict.
"""
