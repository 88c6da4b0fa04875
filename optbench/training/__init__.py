"""The training loop and what it needs: players, evaluation, clock, schedules, seeds, device, memory."""
