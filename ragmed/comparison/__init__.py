"""Stored samples in, results.json out: scores, baselines, paired contrasts, costs. Calls no model.

>>> from ragmed.comparison.compare import ComparisonSettings, compare
>>> compare(samples, run="trial", settings=ComparisonSettings(baseline="general"))["contrasts"]  # doctest: +SKIP
"""
