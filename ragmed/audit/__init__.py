"""An experiment in, the examples out whose questions stand in what its arms look up or were tuned on.

findings.py   what was found, one of a sort for each example and source
sources.py    an experiment's indexes, and the training texts of its adapters, as texts to look in
words.py      the same words: a question that is a title or a text, n-grams of it, answers beside
identity.py   gold documents and documents that an example names (PMID, DOI)
nearest.py    the same meaning, by the cosine of vectors
dates.py      documents that are newer than the question
check.py      all of it: Experiment -> audit.json
table.py      audit.json -> an ASCII table
"""
