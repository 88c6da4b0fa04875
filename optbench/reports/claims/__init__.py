"""Decide a study's claim: `claim:` of its study.yaml, one criterion or several (optbench.config.claims).

sides      the cells of a study, and the pairs that a criterion compares
together   measures over all workloads at once
measuring  every other measure on two sides
tuning     measures over the trials of a search
gains      the interval of a gain, and whether it shows a relation
deciding   the verdict

The pairs were named before the runs, so nothing is corrected for other pairs. The 95 % interval shows a relation, or
its opposite, or neither: inconclusive. On several workloads the relation must hold on each.
"""
