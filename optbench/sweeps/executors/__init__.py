"""Executors of runs: processes of this machine, Slurm, Ray."""
