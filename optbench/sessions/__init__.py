"""One run from its configuration to its result: assembled, resumed, trained, recorded, ended."""
