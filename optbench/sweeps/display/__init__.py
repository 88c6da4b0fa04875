"""Displays of a study: the live table, the summary, W&B, Optuna's dashboard."""
