"""Read a results folder: tables of runs and records."""
