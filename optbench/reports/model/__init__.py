"""A report as plain data (`content.Report`), and as a document of tables and figures (`chapters.document`)."""
