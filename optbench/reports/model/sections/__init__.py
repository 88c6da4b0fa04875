"""The sections of a document. A new one is a function here that `chapters` calls; every output then shows it."""
