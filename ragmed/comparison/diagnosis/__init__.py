"""Samples and their tables in, what a difference is made of out: rows of results.json beside each contrast."""
