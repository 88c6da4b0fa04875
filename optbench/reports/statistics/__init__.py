"""Statistics for few seeds: intervals, and verdicts with calibrated error rates."""
