"""What an arm does with its passages between the first retrieval and the question: augmenters around an augmenter.

prompts.py          what the arm's own model is asked, and how its answers are read
follow_up.py        further queries that it writes, round by round, and what these find
rerank.py           the order that it gives passages
evidence_filter.py  passages kept or dropped, by it, by a cross-encoder or by a rule
making.py           an arm in, its augmenter with all its steps out

Every step is kept in the sample: queries, passages, what was dropped and why, what the model wrote and its tokens.
"""

VERSION = 3
"""Raised with every change of words or rules here that can change which passages are shown."""
