"""Stored samples in, results.json out: scores, baselines, paired contrasts, costs. Calls no model.

    from ragmed.comparison.compare import ComparisonSettings, compare
    compare(answers, run="trial", settings=ComparisonSettings(baseline="general")).contrasts

What `compare` returns is in `results`, its rows in `rows`, `diagnosis/rows` and `costs/rows`.
"""
