"""Outputs of a document: HTML, Markdown, terminal, CSV, PNG and SVG. They know tables and figures, but no section."""
