"""Statistics for few seeds: intervals, and verdicts that are right about how sure they are."""
