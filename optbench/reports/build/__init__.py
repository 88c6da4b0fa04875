"""From tables of runs to `model.content.Report`."""
