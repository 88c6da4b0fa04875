"""Renderers of `model.content.Report`: HTML, Markdown, terminal, JSON, CSV, PNG and SVG."""
