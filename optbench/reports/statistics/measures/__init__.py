"""Measures beside the headline: pure functions from plain numbers to the rows of a report."""
