"""The sections of a report. A new one is a function here that `document` calls; every output then shows it."""
