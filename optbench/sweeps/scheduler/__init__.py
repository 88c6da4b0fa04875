"""The scheduler of a study: what runs next, and study.json."""
