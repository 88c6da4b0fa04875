"""What a study asks for: its settings, cells, search spaces, and the outcomes of its runs."""
