"""What people see of a study: the live line, the summary, W&B, the Optuna dashboard."""
