"""Settings, cells and search boxes of a study, and the outcomes of its runs."""
