"""What is measured of runs beside the headline: pure functions, plain numbers in, rows of a report out."""
