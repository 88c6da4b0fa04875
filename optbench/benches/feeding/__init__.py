"""The other side of the input bench: pipelines as they are written by hand."""
