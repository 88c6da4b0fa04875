"""Whether a study's claim holds: `claim:` of its study.yaml, one criterion or several (optbench.config.claims).

sides      the cells of a study, and which of them a criterion sets beside each other
together   measures over all workloads at once
measuring  what each measure is on two sides
tuning     those over the trials of a search
gains      the interval of a gain, and what it says of a relation
deciding   the verdict

The pairs were named before the runs, so nothing is corrected for other pairs. A relation is shown, or its opposite is,
by the 95 % interval; in between it is undecided. On several workloads it must hold on each."""
