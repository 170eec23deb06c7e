"""Numbers in, intervals, tests and random resamples out. Knows no samples, arms or tasks."""
