"""The report as plain data: what every renderer reads."""
