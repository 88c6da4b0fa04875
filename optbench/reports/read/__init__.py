"""From a results folder to tables of runs and records."""
