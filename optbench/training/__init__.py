"""The training loop and what it needs: players, evaluation, the clock, schedules, memory, the environment."""
