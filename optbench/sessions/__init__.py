"""One run from its configuration to its result: build objects, resume, train, record."""
