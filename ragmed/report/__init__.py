"""results.json and samples in, words, tables and figures out. Computes no statistics.

>>> from ragmed.report.terminal import render_table
>>> print(render_table(results))  # doctest: +SKIP
"""
