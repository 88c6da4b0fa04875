"""Sweeps: many runs under one tuning protocol, with the same budget for every optimizer. No run is repeated or lost.

study/       settings of a study (command line or study.yaml), its cells with their search boxes, outcomes of runs
search/      points of a search box: quasi-random, grids, Optuna's samplers; pruning of hopeless runs
scheduler/   progress of each cell (tune, extend, final), the scheduler that keeps the executor busy, study.json
executors/   local processes from a preloaded fork server; Slurm and Ray through the shared results folder
display/     the live table, the final summary, mirrors of a study for Optuna's tools and W&B
dry_run/     the plan of a study, by a timed probe of every cell
targets.py   target values by AlgoPerf's procedure; target_file.py writes them

Imports point downward: dry_run, display | scheduler | executors (base), search | study.
"""
