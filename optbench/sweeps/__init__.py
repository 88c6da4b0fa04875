"""Sweeps: many runs under one tuning protocol, the same budget for every optimizer, nothing run twice or lost.

study.py      what was asked for: choices, budgets, seeds, protocol (from the command line or a study.yaml)
cells.py      the cells that are compared, each with its search box and its budget in gradient evaluations
points.py     where a box is searched: quasi-random points, or Optuna's samplers (sampling.py)
course.py     a cell's way through the study: tune, extend, final; a function of the outcomes so far
outcomes.py   what the store says of a run
conduct.py    the scheduler: released runs, an executor, outcomes; pruning.py ends hopeless runs of the tuning
executors.py  what `--executor` may name: conf/executor/NAME.yaml and the module that makes it
local.py      the executor of one machine: processes from a preloaded fork server; worker.py is their side
elsewhere.py  the executor of many machines: on_slurm.py, on_ray.py; mailbox.py is what both sides say to each other
              through the shared results folder; remote.py is the workers' side
ledger.py     study.json and the lock of the one scheduler; dashboard.py mirrors it for optuna-dashboard
live.py       what people see meanwhile; summary.py what they see in the end; tracking.py the same in W&B
plan.py       what a dry run says, by a timed rehearsal (rehearsal.py) of every cell (probe.py)
targets.py    target values by AlgoPerf's procedure
"""
