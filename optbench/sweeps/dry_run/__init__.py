"""The plan of a study, with a short probe of each cell."""
